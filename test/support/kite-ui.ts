import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** The content of a file beside the UI's directory; the UI must never serve it. */
export const OUTSIDE = 'it stands outside';

// As in Kite's build: its server fills in the base, and a script in the page reads it.
const INDEX = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="UTF-8" />
    <link rel="icon" type="image/svg+xml" href="__KITE_BASE__/assets/icon-CjHkxMDC.svg" />
    <title>Kite</title>
    <script>window.inlineRan = true;</script>
    <script type="module" crossorigin src="__KITE_BASE__/assets/index-B7x_q2Zk.js"></script>
    <link rel="stylesheet" crossorigin href="__KITE_BASE__/assets/index-D4fGh5Jk.css">
  </head>
  <body><div id="root"></div></body>
</html>
`;

// Sends the requests that Kite's pages send, with their headers, and follows their navigation.
const SCRIPT = `
const root = document.getElementById('root');
const base = window.__dynamic_base__;
const json = { 'Content-Type': 'application/json' };
const withCookie = { credentials: 'include' };

async function ask(method, path, data) {
  const headers = { ...json };
  const cluster = localStorage.getItem('current-cluster');
  if (cluster) headers['x-cluster-name'] = cluster;
  const options = { ...withCookie, headers, method, body: data ? JSON.stringify(data) : undefined };
  let response = await fetch(base + '/api/v1' + path, options);
  if (response.status === 401) {
    const refreshed = await fetch(base + '/api/auth/refresh', { ...withCookie, method: 'POST' });
    if (!refreshed.ok) {
      location.href = '/login';
      throw new Error('Authentication failed');
    }
    response = await fetch(base + '/api/v1' + path, options);
  }
  if (!response.ok) throw new Error((await response.json().catch(() => ({}))).error || String(response.status));
  const type = response.headers.get('content-type') ?? '';
  return type.includes('application/json') ? response.json() : response.text();
}

function form(fields, submit) {
  const element = document.createElement('form');
  element.innerHTML = fields.map((name) => '<input name="' + name + '">').join('') + '<button>go</button><output></output>';
  element.style.color = 'rgb(1, 2, 3)';
  element.onsubmit = (event) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(element));
    submit(values).catch((error) => { element.querySelector('output').textContent = error.message; });
  };
  root.replaceChildren(element);
}

async function setUp() {
  const { initialized, step } = await ask('GET', '/init_check');
  if (initialized) return go('/');
  if (step === 0) return form(['username', 'password', 'name'], async ({ username, password, name }) => {
    await ask('POST', '/admin/users/create_super_user', { username, password, name: name || undefined });
    await setUp();
  });
  form(['config'], async ({ config }) => {
    await ask('POST', '/admin/clusters/import', { config: JSON.parse(config) });
    await setUp();
  });
}

async function signIn() {
  const { providers } = await (await fetch('/api/auth/providers')).json();
  if (!providers.includes('password')) throw new Error('no password');
  form(['username', 'password'], async (body) => {
    const response = await fetch('/api/auth/login/password', { ...withCookie, method: 'POST', headers: json, body: JSON.stringify(body) });
    if (!response.ok) throw new Error((await response.json()).error);
    go('/');
  });
}

async function home() {
  if (!(await ask('GET', '/init_check')).initialized) return go('/setup');
  const response = await fetch('/api/auth/user', withCookie);
  if (!response.ok) return go('/login');
  const { user } = await response.json();
  const refreshed = await fetch('/api/auth/refresh', { ...withCookie, method: 'POST' });
  if (!refreshed.ok) throw new Error('not refreshed');
  const clusters = await (await fetch('/api/v1/clusters', { ...withCookie, headers: json })).json();
  const current = clusters.find(({ isDefault }) => isDefault) ?? clusters[0];
  document.cookie = 'x-cluster-name=' + current.name + '; path=/';
  localStorage.setItem('current-cluster', current.name);
  root.innerHTML = '<p id="user"></p><p id="clusters"></p><button id="leave">leave</button>';
  document.getElementById('user').textContent = user.username + ' ' + user.roles.map(({ name }) => name).join();
  document.getElementById('clusters').textContent = clusters.map(({ name }) => name).join();
  document.getElementById('leave').onclick = async () => {
    const left = await fetch('/api/auth/logout', { ...withCookie, method: 'POST' });
    if (left.ok) location.href = '/login';
  };
}

async function settings() {
  await ask('POST', '/admin/clusters/', { name: 'made here', config: '', prometheusURL: '', description: 'x', inCluster: false, isDefault: false, enabled: true });
  let list = await ask('GET', '/admin/clusters/');
  const { id } = list.find(({ name }) => name === 'made here');
  await ask('PUT', '/admin/clusters/' + id, { name: 'changed here', config: '', enabled: false });
  list = await ask('GET', '/admin/clusters/');
  const shown = list.map(({ name, enabled, version, inCluster }) => [name, enabled, version ?? '-', inCluster].join(' '));
  await ask('DELETE', '/admin/clusters/' + id);
  root.innerHTML = '<pre id="list"></pre>';
  document.getElementById('list').textContent = shown.join('\\n');
}

function go(path) {
  history.replaceState(null, '', path);
  return show();
}

function show() {
  const pages = { '/setup': setUp, '/login': signIn, '/settings': settings };
  return (pages[location.pathname] ?? home)().catch((error) => { root.textContent = 'failed: ' + error.message; });
}

show();
`;

/**
 * Creates a directory like the output of Kite's build below `parent`, with files in it and beside it that must not be
 * served.
 */
export async function builtUi(parent: string): Promise<string> {
  const directory = join(parent, 'dist');
  const files: Record<string, string> = {
    'index.html': INDEX,
    'assets/index-B7x_q2Zk.js': SCRIPT,
    'assets/index-D4fGh5Jk.css': 'body { margin: 0 }',
    'assets/icon-CjHkxMDC.svg': '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>',
    'assets/.hidden.js': OUTSIDE,
    '.env': OUTSIDE,
    '.git/config': OUTSIDE,
    'robots.txt': 'User-agent: *',
    'with space.txt': 'spaced',
    'api/v1/init_check': OUTSIDE,
    healthz: OUTSIDE,
    graphql: OUTSIDE,
    'openapi.json': OUTSIDE,
    'metrics/index.html': OUTSIDE,
    '../secret.txt': OUTSIDE,
    '../beside/secret.txt': OUTSIDE,
  };
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), text);
  }
  await symlink('../secret.txt', join(directory, 'link.txt'));
  await symlink('../beside', join(directory, 'beside'));
  await symlink('nowhere', join(directory, 'broken.txt'));
  await symlink('.env', join(directory, 'env.txt'));
  await symlink('robots.txt', join(directory, 'inside.txt'));
  return directory;
}
