// Runs in the browser. The API key is only in its input field; the checkbox also stores it in sessionStorage until the
// tab closes.
const STORED = 'kitestring-api-key';
const ENDPOINT = new URL('/graphql', location.origin).href;

const { workers, tabs } = JSON.parse(document.querySelector('#settings').textContent);
const field = document.querySelector('#key');
const remember = document.querySelector('#remember');
const state = document.querySelector('#state');
const send = globalThis.fetch;
let checks = 0;

const key = () => field.value.trim().replace(/^Bearer +/i, '');

/** Adds the key to requests to our own endpoint only. */
function fetchWithKey(resource, init) {
  const request = new Request(resource, init);
  if (key() !== '' && request.url === ENDPOINT && !request.headers.has('Authorization'))
    request.headers.set('Authorization', `Bearer ${key()}`);
  return send(request);
}

/** Shows the viewer that the key authenticates. Stores the key if it is valid and the checkbox is set. */
async function showViewer() {
  checks += 1;
  const check = checks;
  show('', 'Checking…');
  const { kind, text } = await viewer();
  if (check !== checks) return;
  show(kind, text);
  // Without a response, the key may still be valid, for example if the page is being closed: leave the stored key
  // alone.
  if (kind === 'silent') return;
  if (kind === 'known' && key() !== '' && remember.checked) sessionStorage.setItem(STORED, key());
  else sessionStorage.removeItem(STORED);
}

async function viewer() {
  try {
    const response = await fetchWithKey(ENDPOINT, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Accept: 'application/json' },
      body: JSON.stringify({ query: '{ viewer { name roles } }' }),
    });
    const { data, errors } = await response.json();
    if (errors) return { kind: 'refused', text: errors[0].message };
    if (data.viewer) return { kind: 'known', text: [data.viewer.name, ...data.viewer.roles].join(' · ') };
    if (key() !== '') return { kind: 'refused', text: 'An API key looks like kite1-…' };
    return { kind: '', text: 'Without a key: the schema, and no data' };
  } catch {
    return { kind: 'silent', text: 'Kitestring does not respond' };
  }
}

function show(kind, text) {
  state.className = kind;
  state.textContent = text;
}

/** Storage for GraphiQL that ends with the page, because a query or its variables may contain a kubeconfig. */
function memoryStorage() {
  const items = new Map();
  return {
    get length() {
      return items.size;
    },
    getItem: (name) => items.get(name) ?? null,
    setItem: (name, value) => void items.set(name, value),
    removeItem: (name) => void items.delete(name),
    clear: () => items.clear(),
  };
}

field.value = sessionStorage.getItem(STORED) ?? '';
remember.checked = field.value !== '';
field.addEventListener('change', showViewer);
remember.addEventListener('change', showViewer);
globalThis.fetch = fetchWithKey;
await showViewer();
// A stored key that has become invalid would also prevent GraphiQL from loading the schema.
if (state.className === 'refused') field.value = '';

globalThis.MonacoEnvironment = { globalAPI: false, getWorkerUrl: (_module, label) => workers[label] };
globalThis.YogaGraphiQL.renderYogaGraphiQL(document.querySelector('#graphiql'), {
  endpoint: '/graphql',
  // Subscriptions use POST too: variables must not appear in a URL.
  method: 'POST',
  title: 'Kitestring',
  logo: '',
  defaultTabs: tabs,
  storage: memoryStorage(),
  shouldPersistHeaders: false,
  // Do not read the query from the address bar or write it there.
  initialQuery: undefined,
  onEditQuery() {},
});
