const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

type KubernetesObject = Record<string, unknown>;

/**
 * What may be shown of an object: never the data of a Secret, the configuration that `kubectl apply` keeps (which holds a
 * Secret's data too), or managed fields. Objects of a list carry no kind of their own, so it comes along.
 */
export function redact(object: KubernetesObject, kind: string): KubernetesObject {
  const { data, stringData, metadata, ...rest } = object;
  const isSecret = kind === 'Secret' || object.kind === 'Secret';
  return {
    ...rest,
    ...(isRecord(metadata) ? { metadata: redactMetadata(metadata) } : {}),
    ...(isSecret || data === undefined ? {} : { data }),
    ...(isSecret || stringData === undefined ? {} : { stringData }),
  };
}

function redactMetadata({ managedFields: _, annotations, ...rest }: KubernetesObject): KubernetesObject {
  if (!isRecord(annotations)) return rest;
  const { [LAST_APPLIED]: __, ...kept } = annotations;
  return { ...rest, annotations: kept };
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
