import { ERROR_CODES } from '../../domain/errors.ts';
import { builder } from '../builder.ts';
import type { ErrorResult } from '../errors.ts';
import { Cluster, ClusterFault } from './cluster.ts';
import { describedEnum } from './enums.ts';

const ErrorCodeEnum = builder.enumType('ErrorCode', {
  description: 'The reason of a refusal, for programs. More may be added.',
  values: describedEnum(ERROR_CODES, {
    INVALID_INPUT: 'A field of the input is wrong; each is listed.',
    UNAUTHENTICATED: 'No valid credentials were sent.',
    FORBIDDEN: 'The viewer may not do this.',
    NOT_FOUND: 'It is not there, or not the viewer’s to see.',
    NAME_TAKEN: 'Another one has this name.',
    DEFAULT_CLUSTER: 'The default cluster cannot be deleted; move the default first.',
    REGISTRY_NOT_EMPTY: 'The first set-up works only while no cluster exists.',
    REVISION_CONFLICT: 'The cluster was changed since the expected revision.',
    CONNECTION_FAILED: 'The cluster was asked and cannot be reached as wanted.',
    DIFFERENT_CLUSTER: 'The credential leads to another cluster than before.',
    CREDENTIALS_WRONG: 'The name or the password is wrong.',
    TOO_MANY_ATTEMPTS: 'Too many attempts; retry after `retryAfterSeconds`.',
    ALREADY_SET_UP: 'The first set-up is over: a user exists.',
    LAST_ADMIN: 'Nobody would be left who may mend it.',
    TOO_MANY_STREAMS: 'The caller has 50 event streams open already.',
    UNAVAILABLE: 'The database cannot be used right now.',
  }),
});

export const ErrorInterface = builder.interfaceRef<ErrorResult>('Error').implement({
  description: 'What every error of a mutation’s union has. More error types may be added: end with `... on Error`.',
  fields: (t) => ({
    message: t.exposeString('message', { description: 'One sentence for a person; it never holds a secret.' }),
    code: t.expose('code', { type: ErrorCodeEnum, description: 'The reason, for programs.' }),
  }),
});

const InputIssue = builder.objectRef<{ path: string[]; message: string }>('InputIssue').implement({
  description: 'One field of the input that is wrong.',
  fields: (t) => ({
    path: t.exposeStringList('path', { description: 'The path of the field, from the top of the input.' }),
    message: t.exposeString('message', { description: 'What is wrong with it, or what to do instead.' }),
  }),
});

export const InvalidInputError = builder
  .objectRef<ErrorResult & { issues: { path: string[]; message: string }[] }>('InvalidInputError')
  .implement({
    description: 'The input is wrong and nothing was changed.',
    interfaces: [ErrorInterface],
    fields: (t) => ({
      issues: t.expose('issues', { type: [InputIssue], description: 'Every field that is wrong.' }),
    }),
  });

const plainError = (name: string, description: string) =>
  builder.objectRef<ErrorResult>(name).implement({ description, interfaces: [ErrorInterface] });

export const ForbiddenError = plainError('ForbiddenError', 'The viewer may not do this.');
export const NotFoundError = plainError('NotFoundError', 'It is not there, or not the viewer’s to see.');
export const NameTakenError = plainError('NameTakenError', 'Another one has this name; nothing was changed.');
export const LastAdminError = plainError(
  'LastAdminError',
  'The last enabled admin cannot be disabled, deleted or lose the role.',
);
export const DefaultClusterError = plainError(
  'DefaultClusterError',
  'The default cluster cannot be deleted: give the default to another cluster, or to none, first.',
);
export const RegistryNotEmptyError = plainError(
  'RegistryNotEmptyError',
  'The import was for an empty registry (`onlyIfEmpty`), and clusters exist.',
);

export const RevisionConflictError = builder
  .objectRef<ErrorResult & { current: typeof Cluster.$inferType }>('RevisionConflictError')
  .implement({
    description: 'The cluster was changed since `expectedRevision`; nothing was overwritten.',
    interfaces: [ErrorInterface],
    fields: (t) => ({
      current: t.expose('current', { type: Cluster, description: 'The cluster as it is now.' }),
    }),
  });

export const ConnectionFailedError = builder
  .objectRef<ErrorResult & { fault: { code: string; message: string } }>('ConnectionFailedError')
  .implement({
    description: 'The cluster was asked, and cannot be reached with this credential; nothing was stored.',
    interfaces: [ErrorInterface],
    fields: (t) => ({
      fault: t.expose('fault', { type: ClusterFault, description: 'What is wrong, with a stable code.' }),
    }),
  });

export const DifferentClusterError = builder
  .objectRef<ErrorResult & { knownUid: string; otherUid: string }>('DifferentClusterError')
  .implement({
    description: 'The credential leads to another cluster; `allowDifferentCluster` takes it all the same.',
    interfaces: [ErrorInterface],
    fields: (t) => ({
      knownUid: t.exposeString('knownUid', { description: 'The UID of kube-system as it was at first contact.' }),
      otherUid: t.exposeString('otherUid', { description: 'The UID that the credential leads to.' }),
    }),
  });
