/**
 * Maximum characters of a message that the patterns below read. GraphQL.js quotes values of any length, but always
 * after its own words, so the beginning of a message suffices.
 */
const MAX_READ = 1_000;
/** Maximum characters of an error's message: it can contain an unknown name of any length. */
const MAX_SENTENCE = 300;

// Matches the words with which GraphQL.js introduces an invalid value, which may be a kubeconfig or a token. The groups
// stay in the message. The name of an unknown parameter or field is removed too if it is not a valid GraphQL name: it
// may be a kubeconfig that the client put in the wrong place.
const VALUE_FOLLOWS =
  /( cannot represent [^:]*): |((?:found|Unexpected) (?:String|BlockString|Name|Int|Float)) "|(unknown field|Unexpected parameter) "(?![_A-Za-z]\w{0,62}")|\b[Ff]ound: /;

/**
 * Returns GraphQL.js' error message without the value that the client sent. Runs in time linear in the message length.
 */
export function sentenceWithoutValue(message: string): string {
  const text = withoutEnumValue(message).slice(0, MAX_READ);
  const match = VALUE_FOLLOWS.exec(text);
  const sentence = match ? cutAtValue(text, match) : text;
  return sentence.length > MAX_SENTENCE ? `${sentence.slice(0, MAX_SENTENCE)}…` : sentence;
}

/**
 * Removes the value from the message about unknown enum values, the only one that quotes a value before its own words.
 */
function withoutEnumValue(message: string): string {
  const at = message.startsWith('Value ') ? message.lastIndexOf(' does not exist in ') : -1;
  return at < 0 ? message : `Value${message.slice(at)}`;
}

function cutAtValue(text: string, { index, 1: represent, 2: token, 3: name }: RegExpExecArray): string {
  const kept = represent ?? token ?? name;
  if (kept !== undefined) return text.slice(0, index + kept.length);
  return text
    .slice(0, index)
    .trimEnd()
    .replace(/[^\w\s]$/, '');
}

/**
 * Returns the variable that a message is about, and the path inside it. The path consists of field names of the schema
 * and list indexes, so it contains no value that the client sent.
 */
export function placeOfVariable(message: string): { name: string | undefined; at: string | undefined } {
  const [, name, at] =
    /^Variable "\$(\w+)" has invalid value(?: at ([\w.[\]]+))?: /.exec(message.slice(0, MAX_READ)) ?? [];
  return { name, at };
}
