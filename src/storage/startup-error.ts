/** A start that cannot go on; its message is one sentence that says what to do, shown without a stack. */
export class StartupError extends Error {
  override readonly name = 'StartupError';
}
