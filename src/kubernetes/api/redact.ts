import { ClusterError } from '../cluster-error.ts';
import { containsObject, isAppliedCopy } from './applied-copies.ts';

/** Maximum nesting depth of an object: a CustomResourceDefinition with nested schemas has about 60 levels. */
const MAX_DEPTH = 200;
/**
 * Metadata of a Secret that may be shown in addition to its labels. Annotations
 * are omitted, because tools copy the data into them.
 */
const SECRET_METADATA = ['name', 'namespace', 'uid', 'creationTimestamp', 'deletionTimestamp'];

/** Characters of the longest annotation that is searched: Kubernetes limits all annotations of an object to 256 KiB. */
const MAX_ANNOTATION = 256 * 1024;
/** Characters of annotations that are searched per object, including the annotations of a template inside it. */
const MAX_ANNOTATIONS = 512 * 1024;

/** Remaining budget for searching the annotations of one object, in characters. */
interface SearchBudget {
  remaining: number;
}

type KubernetesObject = Record<string, unknown>;

/**
 * Returns a copy of an object without secrets. A Secret keeps its name, namespace, uid, labels, timestamps, type and,
 * as `keys`, the names of its data keys. Other objects lose managed fields, annotations that contain an object, and,
 * if the kind contains "secret", `data` and `stringData`. The same rules apply to nested objects, such as templates
 * and list items. An annotation of more than 256 KiB, or one that would exceed 512 KiB in total, is omitted without
 * being searched. `kind` is passed because items of a list do not contain theirs. Runs in linear time.
 */
export function redact(object: KubernetesObject, kind: string): KubernetesObject {
  return redactObject(object, kind, 0, { remaining: MAX_ANNOTATIONS });
}

function redactObject(
  object: KubernetesObject,
  expectedKind: string | undefined,
  depth: number,
  budget: SearchBudget,
): KubernetesObject {
  if (depth > MAX_DEPTH)
    throw new ClusterError('NOT_KUBERNETES', 'the cluster sent an object that is nested too deeply');
  const ownKind = typeof object.kind === 'string' ? object.kind : undefined;
  if (isSecret(expectedKind) || (isSecret(ownKind) && isFullObject(object))) return redactSecret(object, depth, budget);
  const holdsSecrets = [expectedKind, ownKind].some((kind) => kind !== undefined && /secret/i.test(kind));
  const itemKind = ownKind?.replace(/List$/i, '');
  const shown: [field: string, value: unknown][] = [];
  for (const [field, value] of Object.entries(object)) {
    if (field === 'managedFields') continue;
    if (holdsSecrets && (field === 'data' || field === 'stringData')) continue;
    if (typeof value === 'string' && isAppliedCopy(field)) continue;
    const inner = isRecord(value) && /annotations$/i.test(field) ? withoutEmbeddedObjects(value, budget) : value;
    shown.push([field, redactValue(inner, field === 'items' ? itemKind : undefined, depth + 1, budget)]);
  }
  return Object.fromEntries(shown);
}

function redactValue(value: unknown, kind: string | undefined, depth: number, budget: SearchBudget): unknown {
  if (isRecord(value)) return redactObject(value, kind, depth, budget);
  if (!Array.isArray(value)) return value;
  if (depth > MAX_DEPTH) throw new ClusterError('NOT_KUBERNETES', 'the cluster sent a list that is nested too deeply');
  return value.map((item) => redactValue(item, kind, depth + 1, budget));
}

/** Omits annotations that contain an object. `redactObject` omits annotations that are known by name. */
function withoutEmbeddedObjects(annotations: KubernetesObject, budget: SearchBudget): KubernetesObject {
  const isShown = (value: unknown) => {
    if (typeof value !== 'string') return true;
    if (value.length > MAX_ANNOTATION || value.length > budget.remaining) return false;
    budget.remaining -= value.length;
    return !containsObject(value);
  };
  return Object.fromEntries(Object.entries(annotations).filter(([, value]) => isShown(value)));
}

function isSecret(kind: string | undefined): boolean {
  return kind !== undefined && /^secret$/i.test(kind);
}

/**
 * Whether an object with the kind Secret is a Secret and not a reference to one, such as an Event's `involvedObject`.
 */
function isFullObject(object: KubernetesObject): boolean {
  return ['metadata', 'data', 'stringData'].some((field) => Object.hasOwn(object, field));
}

function redactSecret(object: KubernetesObject, depth: number, budget: SearchBudget): KubernetesObject {
  const { apiVersion, data, stringData } = object;
  const metadata = isRecord(object.metadata) ? object.metadata : {};
  const keys = [data, stringData].flatMap((values) => (isRecord(values) ? Object.keys(values) : []));
  return {
    ...stringFieldsOf(object, ['apiVersion', 'kind', 'type']),
    metadata: {
      ...stringFieldsOf(metadata, SECRET_METADATA),
      ...(isRecord(metadata.labels) && { labels: stringFieldsOf(metadata.labels, Object.keys(metadata.labels)) }),
    },
    ...(keys.length > 0 && { keys: [...new Set(keys)].sort() }),
    // Custom resources of kind Secret in other API groups, for example of cloud providers, keep their redacted `spec`.
    ...(typeof apiVersion === 'string' &&
      apiVersion !== 'v1' &&
      isRecord(object.spec) && { spec: redactObject(object.spec, undefined, depth + 1, budget) }),
  };
}

function stringFieldsOf(object: KubernetesObject, fields: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    fields.flatMap((field) => {
      const value = Object.hasOwn(object, field) ? object[field] : undefined;
      return typeof value === 'string' ? [[field, value]] : [];
    }),
  );
}

/** Whether a JSON value is an object: not an array, null or a scalar. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
