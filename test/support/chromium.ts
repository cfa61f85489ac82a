import { type Browser, chromium, type Page } from 'playwright-core';

/**
 * A real Chromium with background requests disabled: only the pages that it opens send requests. `CHROMIUM` names
 * another binary.
 */
export function openChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

export interface Visit extends AsyncDisposable {
  readonly page: Page;
  /** Every URL that the page and its workers requested. */
  readonly requestedUrls: string[];
  /** The browser's complaints: console errors, console warnings and exceptions. */
  readonly complaints: string[];
  /** Everything that was written into localStorage and sessionStorage, as `name value`. */
  readonly written: string[];
}

/** Opens a separate window: without cookies, storage or cached files. */
export async function openWindow(browser: Browser): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'light' });
  const visit = { requestedUrls: [] as string[], complaints: [] as string[], written: [] as string[] };
  context.on('request', (request) => visit.requestedUrls.push(request.url()));
  context.on('weberror', (error) => visit.complaints.push(String(error.error())));
  context.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) visit.complaints.push(message.text());
  });
  await context.exposeFunction('tellWritten', (text: string) => visit.written.push(text));
  await context.addInitScript(`
    const write = Storage.prototype.setItem;
    Storage.prototype.setItem = function (name, value) {
      tellWritten((this === sessionStorage ? 'session ' : 'local ') + name + ' ' + value);
      return write.call(this, name, value);
    };`);
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  return { ...visit, page, [Symbol.asyncDispose]: () => context.close() };
}
