/**
 * Names of annotations that may contain secrets. Tools store a copy of the applied object in them, including the data
 * of a Secret: kubectl, metacontroller, KubeVela, qbec and Banzai's operators (`last-applied…`), Kopf
 * (`last-handled-configuration`), Rancher (`objectset…/applied`), kapp (`original`, `original-diff…`), ksonnet.
 * `kubectl --record` stores its command line, which may contain `--from-literal`. OpenShift stores a service account's
 * token.
 */
const NAMES =
  /last-applied|last-handled|\/applied|\/original(?:-diff|$)|ksonnet\.io\/managed|\/change-cause$|token-secret\.value$/;

// Matches a mapping key in JSON or YAML: at the start of a line or after a brace or comma, optionally preceded by YAML
// list, anchor and tag marks. The backslashes match JSON that is nested as a string in JSON. No two match attempts scan
// the same characters, so it runs in linear time.
const KEY =
  /(?:^[ \t\uFEFF]*|[{,][ \t\r\n]*)(?:(?:[-?]|[&!][^\s,{}]*)[ \t]+)*\\*["']?(?:kind|data|stringData)\\*["']?[ \t\r\n]*:/im;
// The base64-encoded magic numbers of gzip, zlib, zstd and zip. Compressed content counts as an object, since it is
// not unpacked.
const PACKED = /(?:^|["'\s])(?:H4sI|eAE|eF4|eJ[w-z]|eN[o-r]|KLUv|UEsDB)[\w+/-]{12}/;
/** Maximum nested base64 encodings that are decoded: Helm uses two. */
const MAX_LAYERS = 3;

/** Whether an annotation with this name may contain a copy of an object, a command line with its data, or a token. */
export function isAppliedCopy(name: string): boolean {
  return NAMES.test(name);
}

/**
 * Whether a text contains an object with `kind`, `data` or `stringData` at any depth, as JSON, YAML or base64 of
 * either. Also true for compressed content, which is not unpacked. Uses regular expressions instead of a parser to run
 * in linear time.
 */
export function containsObject(text: string): boolean {
  let layer = text;
  for (let count = 0; count < MAX_LAYERS; count++) {
    if (KEY.test(resolveEscapes(layer)) || PACKED.test(layer)) return true;
    layer = layer.trim();
    if (layer.length < 16 || !/^[\w+/\s-]+={0,2}$/.test(layer)) return false;
    layer = Buffer.from(layer, 'base64').toString('latin1');
  }
  return false;
}

/** Decodes escaped ASCII characters of JSON and YAML, such as `\u006b` and `\x6b`. */
function resolveEscapes(text: string): string {
  if (!text.includes('\\')) return text;
  return text.replace(/\\(?:u00|x)([0-7][0-9a-f])/gi, (_, code: string) =>
    String.fromCharCode(Number.parseInt(code, 16)),
  );
}
