// Runs in the browser. The key lives in its field; a tick keeps it in sessionStorage, which ends with the tab.
const STORED = 'kitestring-api-key';
const ENDPOINT = new URL('/graphql', location.origin).href;

const { workers, tabs } = JSON.parse(document.querySelector('#settings').textContent);
const field = document.querySelector('#key');
const remember = document.querySelector('#remember');
const state = document.querySelector('#state');
const send = globalThis.fetch;
let asks = 0;

const key = () => field.value.trim().replace(/^Bearer +/i, '');

/** Sends the key to our own endpoint, and nowhere else. */
function fetchWithKey(resource, init) {
  const request = new Request(resource, init);
  if (key() !== '' && request.url === ENDPOINT && !request.headers.has('Authorization'))
    request.headers.set('Authorization', `Bearer ${key()}`);
  return send(request);
}

/** Asks who the key makes of us, shows it, and keeps the key while it is good and the tick is set. */
async function showViewer() {
  asks += 1;
  const ask = asks;
  show('', 'Asking…');
  const { kind, text } = await viewer();
  if (ask !== asks) return;
  show(kind, text);
  // No answer says nothing of the key: the page may be on its way out.
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
    return { kind: 'silent', text: 'Kitestring does not answer' };
  }
}

function show(kind, text) {
  state.className = kind;
  state.textContent = text;
}

/** GraphiQL's storage for as long as the page: a query or its variables may hold a kubeconfig. */
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
// A kept key that is refused by now would refuse us the schema too.
if (state.className === 'refused') field.value = '';

globalThis.MonacoEnvironment = { globalAPI: false, getWorkerUrl: (_module, label) => workers[label] };
globalThis.YogaGraphiQL.renderYogaGraphiQL(document.querySelector('#graphiql'), {
  endpoint: '/graphql',
  // A subscription too: a URL is no place for variables.
  method: 'POST',
  title: 'Kitestring',
  logo: '',
  defaultTabs: tabs,
  storage: memoryStorage(),
  shouldPersistHeaders: false,
  // Neither taken from the address bar nor written into it.
  initialQuery: undefined,
  onEditQuery() {},
});
