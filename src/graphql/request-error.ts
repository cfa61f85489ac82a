import { GraphQLError } from 'graphql';

/**
 * Characters of a message that are read. GraphQL.js quotes values of any length, and always behind its own words, so
 * that no pattern below ever sees more than this.
 */
const MAX_READ = 1_000;
/** Characters of an error's sentence: it echoes an unknown name, which may have any length. */
const MAX_SENTENCE = 300;

// How GraphQL.js introduces the value that does not fit, which may be a kubeconfig or a token. The groups are kept. A
// parameter or field that is not a valid name may be anything, a kubeconfig in the wrong place.
const VALUE_FOLLOWS =
  /( cannot represent [^:]*): |((?:found|Unexpected) (?:String|BlockString|Name|Int|Float)) "|(unknown field|Unexpected parameter) "(?![_A-Za-z]\w{0,62}")|\b[Ff]ound: /;

/** GraphQL's sentence of an error, without the value that was sent. Takes time that grows linearly with the message. */
export function sentenceWithoutValue(message: string): string {
  const text = withoutEnumValue(message).slice(0, MAX_READ);
  const match = VALUE_FOLLOWS.exec(text);
  const sentence = match ? endedAt(text, match) : text;
  return sentence.length > MAX_SENTENCE ? `${sentence.slice(0, MAX_SENTENCE)}…` : sentence;
}

/** The one message that quotes a value before its own words. */
function withoutEnumValue(message: string): string {
  const at = message.startsWith('Value ') ? message.lastIndexOf(' does not exist in ') : -1;
  return at < 0 ? message : `Value${message.slice(at)}`;
}

function endedAt(text: string, { index, 1: represent, 2: token, 3: name }: RegExpExecArray): string {
  const kept = represent ?? token ?? name;
  if (kept !== undefined) return text.slice(0, index + kept.length);
  return text
    .slice(0, index)
    .trimEnd()
    .replace(/[^\w\s]$/, '');
}

/** An error that validation found, without the value that was sent. */
export function withoutQuotedValue({ message, nodes }: GraphQLError): GraphQLError {
  return new GraphQLError(sentenceWithoutValue(message), { nodes });
}

/** An error of a variable: which one, where in it, and what is wrong, without the value that was sent. */
export function variableError({ message, originalError, nodes }: GraphQLError): GraphQLError {
  // The path is made of names of the schema and of places in lists.
  const [, name, at] =
    /^Variable "\$(\w+)" has invalid value(?: at ([\w.[\]]+))?: /.exec(message.slice(0, MAX_READ)) ?? [];
  const place = at === undefined ? '' : ` at "${name}${at}"`;
  const sentence = sentenceWithoutValue(originalError?.message ?? message);
  return new GraphQLError(name === undefined ? sentence : `Variable "$${name}" is not valid${place}: ${sentence}`, {
    nodes,
    // `spec` keeps 200 for application/json, as for any fault of a document.
    extensions: { code: 'BAD_REQUEST', http: { status: 400, spec: true } },
  });
}
