import { carriesObject, isAppliedCopy } from './applied-copies.ts';
import { ClusterError } from './cluster-error.ts';

/** Levels of an object: a CustomResourceDefinition of nested schemas has about 60. */
const MAX_DEPTH = 200;
/** Metadata of a Secret that may be shown beside its labels. Annotations are omitted: tools copy the data into them. */
const SECRET_METADATA = ['name', 'namespace', 'uid', 'creationTimestamp', 'deletionTimestamp'];

/** Characters of one annotation that are read: Kubernetes allows an object 256 KiB of annotations in all. */
const MAX_ANNOTATION = 256 * 1024;
/** Characters of all annotations of one object that are read: its own and those of a template inside it. */
const MAX_ANNOTATIONS = 512 * 1024;

/** The annotations that are still to be read of one object, in characters. */
interface Reading {
  left: number;
}

type KubernetesObject = Record<string, unknown>;

/**
 * Returns the part of an object that may be shown. A Secret keeps its name, namespace, uid, labels, times, type and the
 * names of its `keys`. Any other object loses managed fields, annotations that carry an object, and `data` and
 * `stringData` if its kind contains "secret". The same rules hold for the objects inside it, as in templates and lists.
 * An annotation of more than 256 KiB, and those beyond 512 KiB in all, are omitted unread.
 * `kind` is the kind of the object: items of a list do not name theirs. The work is linear in the size of the object.
 */
export function redact(object: KubernetesObject, kind: string): KubernetesObject {
  return clean(object, kind, 0, { left: MAX_ANNOTATIONS });
}

function clean(object: KubernetesObject, given: string | undefined, depth: number, reading: Reading): KubernetesObject {
  if (depth > MAX_DEPTH) throw new ClusterError('NOT_KUBERNETES', 'the cluster answers with an object nested too deep');
  const own = typeof object.kind === 'string' ? object.kind : undefined;
  if (isSecret(given) || (isSecret(own) && isWhole(object))) return bareSecret(object, depth, reading);
  const holdsSecrets = [given, own].some((kind) => kind !== undefined && /secret/i.test(kind));
  const itemKind = own?.replace(/List$/i, '');
  const shown: [field: string, value: unknown][] = [];
  for (const [field, value] of Object.entries(object)) {
    if (field === 'managedFields') continue;
    if (holdsSecrets && (field === 'data' || field === 'stringData')) continue;
    if (typeof value === 'string' && isAppliedCopy(field)) continue;
    const inner = isRecord(value) && /annotations$/i.test(field) ? withoutObjects(value, reading) : value;
    shown.push([field, cleanValue(inner, field === 'items' ? itemKind : undefined, depth + 1, reading)]);
  }
  return Object.fromEntries(shown);
}

function cleanValue(value: unknown, kind: string | undefined, depth: number, reading: Reading): unknown {
  if (isRecord(value)) return clean(value, kind, depth, reading);
  if (!Array.isArray(value)) return value;
  if (depth > MAX_DEPTH) throw new ClusterError('NOT_KUBERNETES', 'the cluster answers with a list nested too deep');
  return value.map((item) => cleanValue(item, kind, depth + 1, reading));
}

/** Omits the annotations that carry an object; those that do by their name are omitted like any such field. */
function withoutObjects(annotations: KubernetesObject, reading: Reading): KubernetesObject {
  const isShown = (value: unknown) => {
    if (typeof value !== 'string') return true;
    if (value.length > MAX_ANNOTATION || value.length > reading.left) return false;
    reading.left -= value.length;
    return !carriesObject(value);
  };
  return Object.fromEntries(Object.entries(annotations).filter(([, value]) => isShown(value)));
}

function isSecret(kind: string | undefined): boolean {
  return kind !== undefined && /^secret$/i.test(kind);
}

/** Tells a Secret from a reference to one, such as `involvedObject` of an Event. */
function isWhole(object: KubernetesObject): boolean {
  return ['metadata', 'data', 'stringData'].some((field) => Object.hasOwn(object, field));
}

function bareSecret(object: KubernetesObject, depth: number, reading: Reading): KubernetesObject {
  const { apiVersion, data, stringData } = object;
  const metadata = isRecord(object.metadata) ? object.metadata : {};
  const keys = [data, stringData].flatMap((values) => (isRecord(values) ? Object.keys(values) : []));
  return {
    ...textsOf(object, ['apiVersion', 'kind', 'type']),
    metadata: {
      ...textsOf(metadata, SECRET_METADATA),
      ...(isRecord(metadata.labels) && { labels: textsOf(metadata.labels, Object.keys(metadata.labels)) }),
    },
    ...(keys.length > 0 && { keys: [...new Set(keys)].sort() }),
    // A kind of this name in another group describes a Secret by its `spec`, as those of cloud providers do.
    ...(typeof apiVersion === 'string' &&
      apiVersion !== 'v1' &&
      isRecord(object.spec) && { spec: clean(object.spec, undefined, depth + 1, reading) }),
  };
}

function textsOf(object: KubernetesObject, fields: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    fields.flatMap((field) => {
      const value = Object.hasOwn(object, field) ? object[field] : undefined;
      return typeof value === 'string' ? [[field, value]] : [];
    }),
  );
}

/** Tells an object from lists, null and scalars. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
