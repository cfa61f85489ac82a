/**
 * An error that prevents the start. Its message is one sentence that tells the operator what to do, shown without a
 * stack.
 */
export class StartupError extends Error {
  override readonly name = 'StartupError';
}
