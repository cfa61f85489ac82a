/**
 * Annotations in which tools keep the object they applied, data of a Secret included: kubectl, metacontroller, KubeVela,
 * qbec and Banzai's operators (`last-applied…`), Kopf (`last-handled-configuration`), Rancher (`objectset…/applied`),
 * kapp (`original`, `original-diff…`), ksonnet; `kubectl --record` keeps its command line, which may hold
 * `--from-literal`; OpenShift keeps a service account's token.
 */
const NAMES =
  /last-applied|last-handled|\/applied|\/original(?:-diff|$)|ksonnet\.io\/managed|\/change-cause$|token-secret\.value$/;

// A key of a mapping in JSON or YAML: at the beginning of a line or after a brace or comma, behind the marks of lists,
// anchors and tags; the backslashes are those of JSON within JSON. No two attempts read the same characters: it is linear.
const KEY =
  /(?:^[ \t\uFEFF]*|[{,][ \t\r\n]*)(?:(?:[-?]|[&!][^\s,{}]*)[ \t]+)*\\*["']?(?:kind|data|stringData)\\*["']?[ \t\r\n]*:/im;
// How gzip, zlib, zstd and zip begin, in base64: what they hold cannot be judged without unpacking it.
const PACKED = /(?:^|["'\s])(?:H4sI|eAE|eF4|eJ[w-z]|eN[o-r]|KLUv|UEsDB)[\w+/-]{12}/;
/** Times that a value may be encoded as base64: Helm does it twice. */
const MAX_LAYERS = 3;

/** Tells whether an annotation of this name holds a copy of an object, or a command line that may hold its data. */
export function isAppliedCopy(name: string): boolean {
  return NAMES.test(name);
}

/**
 * Tells whether a text is an object with `kind`, `data` or `stringData` at any level: as JSON or YAML, as base64 of
 * either, or compressed, where it cannot be told. It reads the text instead of parsing it, so that the work is linear.
 */
export function carriesObject(text: string): boolean {
  let layer = text;
  for (let count = 0; count < MAX_LAYERS; count++) {
    if (KEY.test(resolveEscapes(layer)) || PACKED.test(layer)) return true;
    layer = layer.trim();
    if (layer.length < 16 || !/^[\w+/\s-]+={0,2}$/.test(layer)) return false;
    layer = Buffer.from(layer, 'base64').toString('latin1');
  }
  return false;
}

/** Resolves `\u006b` and `\x6b`, spellings of ASCII letters in JSON and YAML. */
function resolveEscapes(text: string): string {
  if (!text.includes('\\')) return text;
  return text.replace(/\\(?:u00|x)([0-7][0-9a-f])/gi, (_, code: string) =>
    String.fromCharCode(Number.parseInt(code, 16)),
  );
}
