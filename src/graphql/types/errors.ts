import { ERROR_CODES } from '../../domain/errors.ts';
import { builder } from '../builder.ts';
import type { ErrorResult } from '../errors.ts';
import { Cluster, ClusterFault } from './cluster.ts';
import { describedEnum } from './enums.ts';

const ErrorCodeEnum = builder.enumType('ErrorCode', {
  description: 'A stable code for an error, for programs. More codes may be added.',
  values: describedEnum(ERROR_CODES, {
    INVALID_INPUT: 'At least one field of the input is invalid; all invalid fields are listed.',
    UNAUTHENTICATED: 'The request has no valid credentials.',
    FORBIDDEN: 'The viewer is not allowed to do this.',
    NOT_FOUND: 'The object does not exist, or the viewer may not see it.',
    NAME_TAKEN: 'Another object already has this name.',
    DEFAULT_CLUSTER: 'The default cluster cannot be deleted; make another cluster the default first.',
    REGISTRY_NOT_EMPTY: 'First-time setup is possible only while no cluster exists.',
    REVISION_CONFLICT: 'The cluster has been changed since the expected revision.',
    CONNECTION_FAILED: 'Kitestring called the cluster and could not connect with this credential.',
    DIFFERENT_CLUSTER: 'The credential leads to a different cluster than before.',
    CREDENTIALS_WRONG: 'The username or the password is wrong.',
    TOO_MANY_ATTEMPTS: 'Too many attempts; retry after `retryAfterSeconds`.',
    ALREADY_SET_UP: 'First-time setup is complete: a user already exists.',
    LAST_ADMIN: 'At least one enabled admin must remain.',
    TOO_MANY_STREAMS: 'The caller already has 50 event streams open.',
    UNAVAILABLE: 'The database is temporarily unavailable.',
  }),
});

const ErrorInterface = builder.interfaceRef<ErrorResult>('Error').implement({
  description:
    'The fields that every error type of a mutation’s result has. More error types may be added: end each selection with `... on Error`.',
  fields: (t) => ({
    message: t.exposeString('message', {
      description: 'The error, as one sentence for humans. It never contains a secret.',
    }),
    code: t.expose('code', { type: ErrorCodeEnum, description: 'A stable code for the error, for programs.' }),
  }),
});

const InputIssue = builder.objectRef<{ path: string[]; message: string }>('InputIssue').implement({
  description: 'One invalid field of the input.',
  fields: (t) => ({
    path: t.exposeStringList('path', { description: 'The path of the field, starting at the top of the input.' }),
    message: t.exposeString('message', { description: 'The problem with the field, or what to do instead.' }),
  }),
});

export const InvalidInputError = builder
  .objectRef<ErrorResult & { issues: { path: string[]; message: string }[] }>('InvalidInputError')
  .implement({
    description: 'The input is invalid. Nothing was changed.',
    interfaces: [ErrorInterface],
    fields: (t) => ({
      issues: t.expose('issues', { type: [InputIssue], description: 'All invalid fields.' }),
    }),
  });

const plainError = (name: string, description: string) =>
  builder.objectRef<ErrorResult>(name).implement({ description, interfaces: [ErrorInterface] });

export const ForbiddenError = plainError('ForbiddenError', 'The viewer is not allowed to do this.');
export const NotFoundError = plainError('NotFoundError', 'The object does not exist, or the viewer may not see it.');
export const NameTakenError = plainError(
  'NameTakenError',
  'Another object already has this name. Nothing was changed.',
);
export const LastAdminError = plainError(
  'LastAdminError',
  'The last enabled admin cannot be disabled, deleted or lose the role `admin`.',
);
export const DefaultClusterError = plainError(
  'DefaultClusterError',
  'The default cluster cannot be deleted. First make another cluster the default, or set `isDefault` to false.',
);
export const RegistryNotEmptyError = plainError(
  'RegistryNotEmptyError',
  'The import requires an empty registry (`onlyIfEmpty`), but clusters exist.',
);

export const RevisionConflictError = builder
  .objectRef<ErrorResult & { current: typeof Cluster.$inferType }>('RevisionConflictError')
  .implement({
    description: 'The cluster has been changed since `expectedRevision`. Nothing was overwritten.',
    interfaces: [ErrorInterface],
    fields: (t) => ({
      current: t.expose('current', { type: Cluster, description: 'The current cluster, with its current revision.' }),
    }),
  });

export const ConnectionFailedError = builder
  .objectRef<ErrorResult & { fault: { code: string; message: string } }>('ConnectionFailedError')
  .implement({
    description: 'Kitestring called the cluster and could not connect with this credential. Nothing was stored.',
    interfaces: [ErrorInterface],
    fields: (t) => ({
      fault: t.expose('fault', { type: ClusterFault, description: 'The problem, with a stable code.' }),
    }),
  });

export const DifferentClusterError = builder
  .objectRef<ErrorResult & { knownUid: string; otherUid: string }>('DifferentClusterError')
  .implement({
    description: 'The credential leads to a different cluster. To accept it, set `allowDifferentCluster`.',
    interfaces: [ErrorInterface],
    fields: (t) => ({
      knownUid: t.exposeString('knownUid', {
        description: 'The UID of the namespace kube-system that Kitestring expects.',
      }),
      otherUid: t.exposeString('otherUid', {
        description: 'The UID of the namespace kube-system in the cluster that the credential leads to.',
      }),
    }),
  });
