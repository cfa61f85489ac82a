import { GraphQLError } from 'graphql';

// How graphql-js ends its messages with the value that does not fit, which may be a kubeconfig or a token.
// Each in time that grows with the message alone: what was sent may be of any length.
const FOUND = /\b[Ff]ound: /;
const QUOTED: readonly (readonly [RegExp, string])[] = [
  [/( cannot represent [^:]*): .*$/s, '$1'],
  [/^Value .* does not exist in/s, 'Value does not exist in'],
  [/((?:found|Unexpected) (?:String|BlockString|Name|Int|Float)) ".*"/s, '$1'],
];

// A name that nobody knows is echoed, and may be of any length.
const MAX_SENTENCE = 300;

function unquote(message: string): string {
  const found = message.search(FOUND);
  const before =
    found < 0
      ? message
      : message
          .slice(0, found)
          .trimEnd()
          .replace(/[^\w\s]$/, '');
  const sentence = QUOTED.reduce((text, [pattern, kept]) => text.replace(pattern, kept), before);
  return sentence.length > MAX_SENTENCE ? `${sentence.slice(0, MAX_SENTENCE)}…` : sentence;
}

/** A fault that validation found, without the value that was sent. */
export function withoutValue({ message, nodes }: GraphQLError): GraphQLError {
  return new GraphQLError(unquote(message), { nodes });
}

/** The innermost message says what is wrong; the outermost, when it is another, which variable and where in it. */
export function sentenceOf(original: GraphQLError, outermost: unknown): string {
  const sentence = unquote(original.message);
  if (outermost === original || !(outermost instanceof GraphQLError)) return sentence;
  const [, name, at] = /^Variable "\$(\w+)" has invalid value(?: at ([\w.[\]]+))?: /.exec(outermost.message) ?? [];
  if (name === undefined) return sentence;
  return `Variable "$${name}" is not valid${at === undefined ? '' : ` at "${name}${at}"`}: ${sentence}`;
}
