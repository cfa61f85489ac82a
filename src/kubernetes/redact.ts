import { ClusterError } from './errors.ts';

// What tools keep of the object that was applied, Secret data too: kubectl, Rancher's objectset, Banzai's operators.
const APPLIED = /(?:last-applied|\/applied)/;
/** Levels of an object: a CustomResourceDefinition of nested schemas has about 60. */
const MAX_DEPTH = 200;

type KubernetesObject = Record<string, unknown>;

/**
 * What may be shown of an object: never the data of a Secret, the configuration that `kubectl apply` keeps (which holds a
 * Secret's data too), or managed fields; nor those of an object that stands inside of it, as in templates and lists.
 * Objects of a list carry no kind of their own, so it comes along.
 */
export function redact(object: KubernetesObject, kind: string): KubernetesObject {
  return clean(object, kind, 0);
}

function clean(object: KubernetesObject, kind: unknown, depth: number): KubernetesObject {
  if (depth > MAX_DEPTH) throw new ClusterError('NOT_KUBERNETES', 'the cluster answers with an object nested too deep');
  const isSecret = [kind, object.kind].some((name) => typeof name === 'string' && /^secret(?:list)?$/i.test(name));
  const shown = Object.entries(object).filter(([field, value]) => {
    if (field === 'data' || field === 'stringData') return !isSecret;
    if (field === 'managedFields') return false;
    return !(APPLIED.test(field) && typeof value === 'string');
  });
  const itemKind = typeof object.kind === 'string' ? object.kind.replace(/List$/, '') : undefined;
  return Object.fromEntries(
    shown.map(([field, value]) => [field, cleanValue(value, field === 'items' ? itemKind : undefined, depth + 1)]),
  );
}

function cleanValue(value: unknown, kind: unknown, depth: number): unknown {
  if (isRecord(value)) return clean(value, kind, depth);
  if (!Array.isArray(value)) return value;
  if (depth > MAX_DEPTH) throw new ClusterError('NOT_KUBERNETES', 'the cluster answers with a list nested too deep');
  return value.map((item) => cleanValue(item, kind, depth + 1));
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
