import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, relative, sep } from 'node:path';
import { StartupError } from '../storage/startup-error.ts';
import { type StaticContent, staticContent } from './static-content.ts';

type Send = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/**
 * Kite's web UI, served from this origin. Returns a function that sends the file at a path, or undefined if there is
 * none.
 */
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

/** Paths that Kitestring serves itself, even if the directory contains such files. */
const RESERVED = /^\/(?:api|graphql|openapi|healthz|readyz|metrics)(?:[/.]|$)/i;
/** Files that Vite names by a hash of their content, so that browsers may cache them forever. */
const HASHED = /^\/assets\/.*-[\w-]{8,}\.\w+$/;

/**
 * Opens a directory with the built UI. Lists its files once at start; requests can only name a listed file, which rules
 * out path traversal. Skips dotfiles and links that lead out of the directory.
 */
export async function openKiteUi(directory: string): Promise<KiteUi> {
  // Check this before listing: an unrelated directory may contain any number of files.
  const isUnrelated = existsSync(directory) && !existsSync(join(directory, 'index.html'));
  const files = isUnrelated ? new Map<string, string>() : await listFiles(directory);
  const entry = files.get('/index.html');
  if (entry === undefined)
    throw new StartupError(
      `KITE_UI_DIR names ${directory}, which contains no index.html: set it to the directory of the built UI.`,
    );
  const html = setBasePath(await readFile(entry, 'utf8'));
  const policy = policyOf(html);
  const headersOf = (path: string) => ({
    'Content-Type': TYPES[extname(path).toLowerCase()] ?? 'application/octet-stream',
    'Cache-Control': HASHED.test(path) ? 'public, max-age=31536000, immutable' : 'no-cache',
    // Scripts need the policy too: a worker is subject to the policy of its own script.
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

async function listFiles(directory: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  try {
    const root = await realpath(directory);
    for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      const name = relative(root, path);
      const file = await realpath(path).catch(() => root);
      const isHidden = [name, relative(root, file)].some((name) =>
        name.split(sep).some((part) => part.startsWith('.')),
      );
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

/** Decodes a path; undefined if it is malformed or contains a backslash, NUL, dotfile or empty segment. */
function decode(raw: string): string | undefined {
  try {
    const path = decodeURIComponent(raw);
    return /[\\\0]|\/\.|\/\//.test(path) ? undefined : path;
  } catch {
    return undefined;
  }
}

/** Sets the base path of the UI to the root, as Kite's own server does when it serves the page. */
function setBasePath(html: string): string {
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
    // The UI's components and its editor insert style elements at run time.
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
