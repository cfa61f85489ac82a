import { GraphQLError } from 'graphql';

// How graphql-js ends its messages with the value that does not fit, which may be a kubeconfig or a token.
// Each in time that grows with the message alone: what was sent may be of any length.
const FOUND = /\b[Ff]ound: /;
const QUOTED: readonly (readonly [RegExp, string])[] = [
  [/( cannot represent [^:]*): .*$/s, '$1'],
  [/^Value .* does not exist in/s, 'Value does not exist in'],
  [/((?:found|Unexpected) (?:String|BlockString|Name|Int|Float)) ".*"/s, '$1'],
  // What is no name may be anything, a kubeconfig in the wrong place.
  [/(unknown field|Unexpected parameter) "(?![_A-Za-z]\w{0,62}").*"/s, '$1'],
];

// A name that nobody knows is echoed, and may be of any length.
const MAX_SENTENCE = 300;

/** GraphQL's sentence of a fault, without the value that was sent. */
export function sentenceOf(message: string): string {
  // First: the value that they take away may hold the words that the other looks for.
  const short = QUOTED.reduce((text, [pattern, kept]) => text.replace(pattern, kept), message);
  const found = short.search(FOUND);
  const sentence =
    found < 0
      ? short
      : short
          .slice(0, found)
          .trimEnd()
          .replace(/[^\w\s]$/, '');
  return sentence.length > MAX_SENTENCE ? `${sentence.slice(0, MAX_SENTENCE)}…` : sentence;
}

/** A fault that validation found, without the value that was sent. */
export function withoutValue({ message, nodes }: GraphQLError): GraphQLError {
  return new GraphQLError(sentenceOf(message), { nodes });
}

/** A fault of a variable: which one, where in it, and what is wrong, without the value that was sent. */
export function faultOfVariable({ message, originalError, nodes }: GraphQLError): GraphQLError {
  // The path is made of names of the schema and of places in lists.
  const [, name, at] = /^Variable "\$(\w+)" has invalid value(?: at ([\w.[\]]+))?: /.exec(message) ?? [];
  const place = at === undefined ? '' : ` at "${name}${at}"`;
  const sentence = sentenceOf(originalError?.message ?? message);
  return new GraphQLError(name === undefined ? sentence : `Variable "$${name}" is not valid${place}: ${sentence}`, {
    nodes,
    // `spec` keeps 200 for application/json, as for any fault of a document.
    extensions: { code: 'BAD_REQUEST', http: { status: 400, spec: true } },
  });
}
