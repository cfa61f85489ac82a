import type { Page, Response } from 'playwright-core';

/** Opens GraphiQL and waits until it knows the schema. */
export async function openGraphiQL(page: Page, url: string): Promise<void> {
  const schema = page.waitForResponse(
    (response) => response.request().postData()?.includes('IntrospectionQuery') === true && response.ok(),
  );
  await page.goto(`${url}/graphql`);
  await (await schema).finished();
  await page.locator('.graphiql-query-editor .view-line').first().waitFor();
}

/** Puts a key into the bar and waits until the bar says what it is worth. */
export async function enterKey(page: Page, key: string, state: 'known' | 'refused' = 'known'): Promise<void> {
  await page.fill('#key', key);
  await page.press('#key', 'Enter');
  await page.locator(`#state.${state}`).waitFor();
}

/** Brings the example of this name to the front. */
export async function openExample(page: Page, name: string): Promise<void> {
  // Not by the pointer: the tabs fly to their places, and a click on the way is lost.
  await page.getByRole('button', { name, exact: true }).dispatchEvent('click');
  await page.locator('.graphiql-tab-active').getByText(name, { exact: true }).waitFor();
}

/** Runs the example of this name, and gives the response to it. */
export async function askExample(page: Page, name: string): Promise<Response> {
  await openExample(page, name);
  let response: Response | undefined;
  const asked = page
    .waitForResponse((one) => one.request().postData()?.includes(`"operationName":"${name}"`) === true)
    .then((one) => {
      response = one;
    });
  // GraphiQL takes a moment to notice which operation a tab holds, and says this when it is asked before.
  const early = page.locator('.graphiql-response').getByText('"Cannot infer operation').first();
  while (!response) {
    await page.getByRole('button', { name: 'Execute query' }).click();
    await page.evaluate('new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))');
    await Promise.race([asked, early.waitFor().catch(() => asked)]);
  }
  return response;
}

/** Runs the example of this name, and gives what GraphiQL shows once it holds `expected`. */
export async function runExample(page: Page, name: string, expected: string): Promise<string> {
  await askExample(page, name);
  const shown = page.locator('.graphiql-response');
  await shown.getByText(expected).first().waitFor();
  return shown.innerText();
}
