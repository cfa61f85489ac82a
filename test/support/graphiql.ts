import type { Page, Response } from 'playwright-core';

/** Opens GraphiQL and waits until it has loaded the schema. */
export async function openGraphiQL(page: Page, url: string): Promise<void> {
  const schema = page.waitForResponse(
    (response) => response.request().postData()?.includes('IntrospectionQuery') === true && response.ok(),
  );
  await page.goto(`${url}/graphql`);
  await (await schema).finished();
  await page.locator('.graphiql-query-editor .view-line').first().waitFor();
}

/** Enters a key and waits until the bar shows whether it is valid. */
export async function enterKey(page: Page, key: string, state: 'known' | 'refused' = 'known'): Promise<void> {
  await page.fill('#key', key);
  await page.press('#key', 'Enter');
  await page.locator(`#state.${state}`).waitFor();
}

/** Opens the tab of the example with this name. */
export async function openExample(page: Page, name: string): Promise<void> {
  // Not with the pointer: the tabs are animated, and a click during the animation is lost.
  await page.getByRole('button', { name, exact: true }).dispatchEvent('click');
  await page.locator('.graphiql-tab-active').getByText(name, { exact: true }).waitFor();
}

/** Runs the example with this name, and returns the HTTP response. */
export async function requestExample(page: Page, name: string): Promise<Response> {
  await openExample(page, name);
  let response: Response | undefined;
  const responseArrived = page
    .waitForResponse((one) => one.request().postData()?.includes(`"operationName":"${name}"`) === true)
    .then((one) => {
      response = one;
    });
  // GraphiQL needs a moment to detect which operation a tab contains, and shows this message if a query is run before
  // that.
  const early = page.locator('.graphiql-response').getByText('"Cannot infer operation').first();
  while (!response) {
    await page.getByRole('button', { name: 'Execute query' }).click();
    await page.evaluate('new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))');
    await Promise.race([responseArrived, early.waitFor().catch(() => responseArrived)]);
  }
  return response;
}

/** Runs the example with this name, and returns GraphiQL's output once it contains `expected`. */
export async function runExample(page: Page, name: string, expected: string): Promise<string> {
  await requestExample(page, name);
  const shown = page.locator('.graphiql-response');
  await shown.getByText(expected).first().waitFor();
  return shown.innerText();
}
