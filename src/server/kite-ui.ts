import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, relative, sep } from 'node:path';
import { StartupError } from '../storage/startup-error.ts';
import { type StaticContent, staticContent } from './static-content.ts';

type Send = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** Kite's web UI, served from this origin; how a path of it is sent, undefined for what is not there. */
export type KiteUi = (request: IncomingMessage, path: string) => Send | undefined;

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.gif': 'image/gif',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.jpeg': 'image/jpeg',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.ttf': 'font/ttf',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
  '.webp': 'image/webp',
  '.woff': 'font/woff',
  '.woff2': 'font/woff2',
};

/** What the gateway answers for itself, whatever the directory holds. */
const RESERVED = /^\/(?:api|graphql|openapi|healthz|readyz|metrics)(?:[/.]|$)/i;
/** As Vite names what it builds: a name that changes with the content. */
const HASHED = /^\/assets\/.*-[\w-]{8,}\.\w+$/;

/**
 * Reads which files there are, once: a request can only name one of them, so no path leads out. Left out are dotfiles,
 * and links that lead elsewhere.
 */
export async function openKiteUi(directory: string): Promise<KiteUi> {
  // Before all files are listed: a directory that is meant for something else may hold any number.
  const isOther = existsSync(directory) && !existsSync(join(directory, 'index.html'));
  const files = isOther ? new Map<string, string>() : await filesOf(directory);
  const entry = files.get('/index.html');
  if (entry === undefined)
    throw new StartupError(`KITE_UI_DIR names ${directory}, which holds no index.html: name the built UI's directory.`);
  const html = withoutBase(await readFile(entry, 'utf8'));
  const policy = policyOf(html);
  const headersOf = (path: string) => ({
    'Content-Type': TYPES[extname(path).toLowerCase()] ?? 'application/octet-stream',
    'Cache-Control': HASHED.test(path) ? 'public, max-age=31536000, immutable' : 'no-cache',
    // Scripts have it too: a worker lives by the policy of its own script.
    'Content-Security-Policy': policy,
  });
  const index = staticContent(html, headersOf('/index.html'));
  const loaded = new Map<string, Promise<StaticContent>>();
  const load = (path: string, file: string): Promise<StaticContent> => {
    const content = loaded.get(path) ?? readFile(file).then((bytes) => staticContent(bytes, headersOf(path)));
    loaded.set(path, content);
    content.catch(() => loaded.delete(path));
    return content;
  };

  return ({ method, headers }, raw) => {
    if (method !== 'GET' && method !== 'HEAD') return undefined;
    const path = decode(raw);
    if (path === undefined || RESERVED.test(path)) return undefined;
    const file = path === '/' || path === '/index.html' ? undefined : files.get(path);
    if (file !== undefined) return async (...exchange) => (await load(path, file)).send(...exchange);
    const isRoute = path === '/' || path === '/index.html' || headers.accept?.includes('text/html');
    return isRoute && !path.startsWith('/assets/') ? index.send : undefined;
  };
}

async function filesOf(directory: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  try {
    const root = await realpath(directory);
    for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      const name = relative(root, path);
      const file = await realpath(path).catch(() => root);
      const isHidden = [name, relative(root, file)].some((one) => one.split(sep).some((part) => part.startsWith('.')));
      if (!isHidden && (await stat(file)).isFile()) files.set(`/${name.split(sep).join('/')}`, file);
    }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : 'unknown';
    throw new StartupError(
      `KITE_UI_DIR names ${directory}, which cannot be read (${code}): make it readable or unset it.`,
    );
  }
  return files;
}

/** The path as the names of files spell it; undefined for one that no file and no route of the UI has. */
function decode(raw: string): string | undefined {
  try {
    const path = decodeURIComponent(raw);
    return /[\\\0]|\/\.|\/\//.test(path) ? undefined : path;
  } catch {
    return undefined;
  }
}

/** Kite's own server fills in where the UI is mounted: here at the root. */
function withoutBase(html: string): string {
  return html.replaceAll('__KITE_BASE__', '').replace('<head>', `<head>\n<script>window.__dynamic_base__='';</script>`);
}

function policyOf(html: string): string {
  const inline = html.matchAll(/<script(?![^>]*\ssrc\s*=)[^>]*>([\s\S]*?)<\/script>/gi);
  const hashes = Array.from(
    inline,
    ([, text = '']) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`,
  );
  return [
    "default-src 'none'",
    `script-src 'self' ${hashes.join(' ')}`,
    // Its components and its editor write styles as they go.
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    "connect-src 'self'",
    "worker-src 'self' blob:",
    "manifest-src 'self'",
    "frame-src 'self'",
    "frame-ancestors 'self'",
    "base-uri 'none'",
    "form-action 'self'",
  ].join('; ');
}
