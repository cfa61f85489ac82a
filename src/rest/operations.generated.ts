/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { TypedDocumentNode as DocumentNode } from '@graphql-typed-document-node/core';
/** What a role allows. More may be added. */
export type Action =
  /** Manage users, roles and keys that allow no more than the viewer holds. */
  | 'ACCESS_MANAGE'
  /** Read the audit log. */
  | 'AUDIT_READ'
  /** Register clusters. */
  | 'CLUSTERS_CREATE'
  /** Delete clusters. */
  | 'CLUSTERS_DELETE'
  /** Import a kubeconfig. */
  | 'CLUSTERS_IMPORT'
  /** Lend a cluster the service account of Kitestring’s own pod. */
  | 'CLUSTERS_IN_CLUSTER'
  /** Have a cluster asked now, with the credential that Kitestring holds. */
  | 'CLUSTERS_LIVE'
  /** See clusters, in lists and streams and one by one. */
  | 'CLUSTERS_READ'
  /** Change clusters. */
  | 'CLUSTERS_UPDATE'
  /** Read the metrics. */
  | 'METRICS_READ'
  /** Use the REST routes of the registry. */
  | 'REST_USE';

/** One of the three ways to name a cluster. */
export type ClusterBy =
  {   /** By the id that the REST routes use. */
  databaseId: number; id?: never; name?: never; }
  |  { databaseId?: never;   /** By its global id. */
  id: string; name?: never; }
  |  { databaseId?: never; id?: never;   /** By its name, byte for byte. */
  name: string; };

/** How Kitestring reaches the cluster. */
export type ClusterCredentialInput =
  {   /** true: by the service account of the pod that Kitestring runs in. false: by the kubeconfig that is stored. */
  inCluster: boolean; kubeconfig?: never; }
  |  { inCluster?: never;   /** By a kubeconfig. */
  kubeconfig: KubeconfigInput; };

/** A key to make. */
export type CreateApiKeyInput = {
  /** From when on it is refused; absent: never. */
  expiresAt?: string | null | undefined;
  /** What it is for, 1 to 253 characters. */
  name: string;
  /** true: a key of one’s own, which ends with its person. false: a service’s, which needs an admin. */
  personal?: boolean;
  /** Its roles: of one’s own key, roles one holds. */
  roles?: Array<string>;
  /** Narrows it to these actions; absent: all that its roles allow. */
  scopes?: Array<Action> | null | undefined;
};

/** A cluster to register. */
export type CreateClusterInput = {
  /** How Kitestring reaches it; needed unless `verify` is NONE. */
  credential?: ClusterCredentialInput | null | undefined;
  /** Up to 10,000 characters. */
  description?: string | null | undefined;
  /** Whether anything is asked of it. true when absent. */
  enabled?: boolean | null | undefined;
  /** true takes the default from the cluster that has it, which needs the right to update that cluster. false when absent. */
  isDefault?: boolean | null | undefined;
  /** Up to 64 labels. */
  labels?: Array<LabelInput> | null | undefined;
  /** Unique, 1 to 253 characters, no control characters. */
  name: string;
  /** Where its Prometheus answers: http or https, up to 2,048 characters. */
  prometheusURL?: string | null | undefined;
  /** How much is looked at before it is stored. */
  verify?: Verification | null | undefined;
};

/** A cluster to forget. */
export type DeleteClusterInput = {
  /** Which cluster. */
  by: ClusterBy;
  /** The revision you have seen: another one is a RevisionConflictError. */
  expectedRevision?: number | null | undefined;
};

/** The reason of a refusal, for programs. More may be added. */
export type ErrorCode =
  /** The first set-up is over: a user exists. */
  | 'ALREADY_SET_UP'
  /** The cluster was asked and cannot be reached as wanted. */
  | 'CONNECTION_FAILED'
  /** The name or the password is wrong. */
  | 'CREDENTIALS_WRONG'
  /** The default cluster cannot be deleted; move the default first. */
  | 'DEFAULT_CLUSTER'
  /** The credential leads to another cluster than before. */
  | 'DIFFERENT_CLUSTER'
  /** The viewer may not do this. */
  | 'FORBIDDEN'
  /** A field of the input is wrong; each is listed. */
  | 'INVALID_INPUT'
  /** Nobody would be left who may mend it. */
  | 'LAST_ADMIN'
  /** Another one has this name. */
  | 'NAME_TAKEN'
  /** It is not there, or not the viewer’s to see. */
  | 'NOT_FOUND'
  /** The first set-up works only while no cluster exists. */
  | 'REGISTRY_NOT_EMPTY'
  /** The cluster was changed since the expected revision. */
  | 'REVISION_CONFLICT'
  /** Too many attempts; retry after `retryAfterSeconds`. */
  | 'TOO_MANY_ATTEMPTS'
  /** The caller has 50 event streams open already. */
  | 'TOO_MANY_STREAMS'
  /** No valid credentials were sent. */
  | 'UNAUTHENTICATED'
  /** The database cannot be used right now. */
  | 'UNAVAILABLE';

/** A kubeconfig, each context of which becomes a cluster named after it. */
export type ImportClustersInput = {
  /** These contexts alone; every one when absent. */
  contexts?: Array<string> | null | undefined;
  /** Answers what would happen and stores nothing. */
  dryRun?: boolean;
  /** Makes the one cluster `in-cluster`, of the pod that Kitestring runs in, and reads no kubeconfig. */
  inCluster?: boolean;
  /** The kubeconfig, YAML or JSON; needed unless `inCluster`. */
  kubeconfig?: string | null | undefined;
  /** What to do where the name is taken. */
  onNameTaken?: NameTaken;
  /** The first set-up: a RegistryNotEmptyError as soon as one cluster exists. */
  onlyIfEmpty?: boolean;
  /** SYNTAX refuses contexts that cannot be used, one by one; NONE stores them too. */
  verify?: Verification;
};

/** A kubeconfig, and which of its contexts to take. */
export type KubeconfigInput = {
  /** The context; else the current one, else the only one. */
  context?: string | null | undefined;
  /** The kubeconfig, YAML or JSON, self-contained (`kubectl config view --raw --flatten`). */
  text: string;
};

/** A label, as Kubernetes has them. */
export type LabelInput = {
  /** An optional DNS prefix and `/`, then up to 63 characters. */
  key: string;
  /** Empty, or up to 63 characters. */
  value: string;
};

/** What an import does where a cluster has the context’s name already. */
export type NameTaken =
  /** Imports nothing at all. */
  | 'FAIL'
  /** Leaves that cluster as it is. */
  | 'SKIP'
  /** Gives that cluster the context’s credential; the context is REFUSED where the viewer may not update that cluster. */
  | 'UPDATE';

/** A key to forget. */
export type RevokeApiKeyInput = {
  /** The id of the key. */
  databaseId: number;
};

/** What to change of a cluster: absent keeps, null clears. */
export type UpdateClusterInput = {
  /** With CONNECT: takes a credential that leads to another cluster, else a DifferentClusterError. */
  allowDifferentCluster?: boolean | null | undefined;
  /** Which cluster. */
  by: ClusterBy;
  /** A new credential. */
  credential?: ClusterCredentialInput | null | undefined;
  /** A new description; null or empty clears it. */
  description?: string | null | undefined;
  /** Whether anything is asked of it. */
  enabled?: boolean | null | undefined;
  /** The revision you have seen: another one is a RevisionConflictError. */
  expectedRevision?: number | null | undefined;
  /** true takes the default from the cluster that has it; false gives it up. */
  isDefault?: boolean | null | undefined;
  /** All labels anew; null clears them. */
  labels?: Array<LabelInput> | null | undefined;
  /** A new name. */
  name?: string | null | undefined;
  /** A new URL; null or empty clears it. */
  prometheusURL?: string | null | undefined;
  /** How much is looked at before it is stored. */
  verify?: Verification | null | undefined;
};

/** How much is looked at before a credential is stored. */
export type Verification =
  /** The cluster is asked, and must know the credential. */
  | 'CONNECT'
  /** Nothing: a kubeconfig that cannot be used is stored, and its cluster says why. */
  | 'NONE'
  /** The kubeconfig must be one that can be used. */
  | 'SYNTAX';

export type ListClustersQueryVariables = Exact<{
  after?: string | null | undefined;
}>;


export type ListClustersQuery = { clusters: { nodes: Array<{ databaseId: number, name: string, description: string, enabled: boolean, inCluster: boolean, prometheusURL: string | null, status: { version: string | null, error: { message: string } | null } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } }, defaultCluster: { databaseId: number } | null };

export type ListVisibleClustersQueryVariables = Exact<{
  after?: string | null | undefined;
}>;


export type ListVisibleClustersQuery = { clusters: { nodes: Array<{ databaseId: number, name: string, status: { version: string | null, error: { message: string } | null } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } }, defaultCluster: { databaseId: number } | null };

export type ListApiKeysQueryVariables = Exact<{ [key: string]: never; }>;


export type ListApiKeysQuery = { apiKeys: Array<{ databaseId: number, name: string, owner: string | null, roles: Array<string>, scopes: Array<Action> | null, disabled: boolean, createdAt: string, expiresAt: string | null, lastUsedAt: string | null }> };

export type CreateApiKeyMutationVariables = Exact<{
  input: CreateApiKeyInput;
}>;


export type CreateApiKeyMutation = { createApiKey:
    | { text: string, apiKey: { databaseId: number, name: string, roles: Array<string>, expiresAt: string | null } }
    | { code: ErrorCode, message: string }
    | { code: ErrorCode, message: string }
   };

export type RevokeApiKeyMutationVariables = Exact<{
  input: RevokeApiKeyInput;
}>;


export type RevokeApiKeyMutation = { revokeApiKey:
    | { code: ErrorCode, message: string }
    | { code: ErrorCode, message: string }
    | { code: ErrorCode, message: string }
    | { revokedDatabaseId: number }
   };

export type CreateClusterMutationVariables = Exact<{
  input: CreateClusterInput;
}>;


export type CreateClusterMutation = { createCluster:
    | { code: ErrorCode, message: string }
    | { cluster: { databaseId: number } }
    | { code: ErrorCode, message: string }
    | { code: ErrorCode, message: string }
    | { code: ErrorCode, message: string }
   };

export type UpdateClusterMutationVariables = Exact<{
  input: UpdateClusterInput;
}>;


export type UpdateClusterMutation = { updateCluster:
    | { code: ErrorCode, message: string }
    | { code: ErrorCode, message: string }
    | { code: ErrorCode, message: string }
    | { code: ErrorCode, message: string }
    | { code: ErrorCode, message: string }
    | { code: ErrorCode, message: string }
    | { code: ErrorCode, message: string }
    | { cluster: { databaseId: number } }
   };

export type DeleteClusterMutationVariables = Exact<{
  input: DeleteClusterInput;
}>;


export type DeleteClusterMutation = { deleteCluster:
    | { code: ErrorCode, message: string }
    | { deletedDatabaseId: number }
    | { code: ErrorCode, message: string }
    | { code: ErrorCode, message: string }
    | { code: ErrorCode, message: string }
    | { code: ErrorCode, message: string }
   };

export type ImportClustersMutationVariables = Exact<{
  input: ImportClustersInput;
}>;


export type ImportClustersMutation = { importClusters:
    | { code: ErrorCode, message: string }
    | { createdCount: number }
    | { code: ErrorCode, message: string }
    | { code: ErrorCode, message: string }
    | { code: ErrorCode, message: string }
   };

type Refusal_ConnectionFailedError_Fragment = { code: ErrorCode, message: string };

type Refusal_DefaultClusterError_Fragment = { code: ErrorCode, message: string };

type Refusal_DifferentClusterError_Fragment = { code: ErrorCode, message: string };

type Refusal_ForbiddenError_Fragment = { code: ErrorCode, message: string };

type Refusal_InvalidInputError_Fragment = { code: ErrorCode, message: string };

type Refusal_LastAdminError_Fragment = { code: ErrorCode, message: string };

type Refusal_NameTakenError_Fragment = { code: ErrorCode, message: string };

type Refusal_NotFoundError_Fragment = { code: ErrorCode, message: string };

type Refusal_RegistryNotEmptyError_Fragment = { code: ErrorCode, message: string };

type Refusal_RevisionConflictError_Fragment = { code: ErrorCode, message: string };

export type RefusalFragment =
  | Refusal_ConnectionFailedError_Fragment
  | Refusal_DefaultClusterError_Fragment
  | Refusal_DifferentClusterError_Fragment
  | Refusal_ForbiddenError_Fragment
  | Refusal_InvalidInputError_Fragment
  | Refusal_LastAdminError_Fragment
  | Refusal_NameTakenError_Fragment
  | Refusal_NotFoundError_Fragment
  | Refusal_RegistryNotEmptyError_Fragment
  | Refusal_RevisionConflictError_Fragment
;

export const RefusalFragmentDoc = {"kind":"Document","definitions":[{"kind":"FragmentDefinition","name":{"kind":"Name","value":"Refusal"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"Error"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"code"}},{"kind":"Field","name":{"kind":"Name","value":"message"}}]}}]} as unknown as DocumentNode<RefusalFragment, unknown>;
export const ListClustersDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"ListClusters"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"after"}},"type":{"kind":"NamedType","name":{"kind":"Name","value":"String"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"clusters"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"after"},"value":{"kind":"Variable","name":{"kind":"Name","value":"after"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"nodes"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"databaseId"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"description"}},{"kind":"Field","name":{"kind":"Name","value":"enabled"}},{"kind":"Field","name":{"kind":"Name","value":"inCluster"}},{"kind":"Field","name":{"kind":"Name","value":"prometheusURL"}},{"kind":"Field","name":{"kind":"Name","value":"status"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"version"}},{"kind":"Field","name":{"kind":"Name","value":"error"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"message"}}]}}]}}]}},{"kind":"Field","name":{"kind":"Name","value":"pageInfo"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"hasNextPage"}},{"kind":"Field","name":{"kind":"Name","value":"endCursor"}}]}}]}},{"kind":"Field","name":{"kind":"Name","value":"defaultCluster"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"databaseId"}}]}}]}}]} as unknown as DocumentNode<ListClustersQuery, ListClustersQueryVariables>;
export const ListVisibleClustersDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"ListVisibleClusters"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"after"}},"type":{"kind":"NamedType","name":{"kind":"Name","value":"String"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"clusters"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"after"},"value":{"kind":"Variable","name":{"kind":"Name","value":"after"}}},{"kind":"Argument","name":{"kind":"Name","value":"orderBy"},"value":{"kind":"ObjectValue","fields":[{"kind":"ObjectField","name":{"kind":"Name","value":"field"},"value":{"kind":"EnumValue","value":"NAME"}}]}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"nodes"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"databaseId"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"status"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"version"}},{"kind":"Field","name":{"kind":"Name","value":"error"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"message"}}]}}]}}]}},{"kind":"Field","name":{"kind":"Name","value":"pageInfo"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"hasNextPage"}},{"kind":"Field","name":{"kind":"Name","value":"endCursor"}}]}}]}},{"kind":"Field","name":{"kind":"Name","value":"defaultCluster"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"databaseId"}}]}}]}}]} as unknown as DocumentNode<ListVisibleClustersQuery, ListVisibleClustersQueryVariables>;
export const ListApiKeysDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"ListApiKeys"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"apiKeys"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"databaseId"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"owner"}},{"kind":"Field","name":{"kind":"Name","value":"roles"}},{"kind":"Field","name":{"kind":"Name","value":"scopes"}},{"kind":"Field","name":{"kind":"Name","value":"disabled"}},{"kind":"Field","name":{"kind":"Name","value":"createdAt"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"lastUsedAt"}}]}}]}}]} as unknown as DocumentNode<ListApiKeysQuery, ListApiKeysQueryVariables>;
export const CreateApiKeyDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"mutation","name":{"kind":"Name","value":"CreateApiKey"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"input"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"CreateApiKeyInput"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"createApiKey"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"Variable","name":{"kind":"Name","value":"input"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"InlineFragment","typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"CreateApiKeySuccess"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"text"}},{"kind":"Field","name":{"kind":"Name","value":"apiKey"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"databaseId"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"roles"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}}]}}]}},{"kind":"FragmentSpread","name":{"kind":"Name","value":"Refusal"}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"Refusal"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"Error"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"code"}},{"kind":"Field","name":{"kind":"Name","value":"message"}}]}}]} as unknown as DocumentNode<CreateApiKeyMutation, CreateApiKeyMutationVariables>;
export const RevokeApiKeyDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"mutation","name":{"kind":"Name","value":"RevokeApiKey"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"input"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"RevokeApiKeyInput"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"revokeApiKey"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"Variable","name":{"kind":"Name","value":"input"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"InlineFragment","typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"RevokeApiKeySuccess"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"revokedDatabaseId"}}]}},{"kind":"FragmentSpread","name":{"kind":"Name","value":"Refusal"}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"Refusal"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"Error"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"code"}},{"kind":"Field","name":{"kind":"Name","value":"message"}}]}}]} as unknown as DocumentNode<RevokeApiKeyMutation, RevokeApiKeyMutationVariables>;
export const CreateClusterDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"mutation","name":{"kind":"Name","value":"CreateCluster"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"input"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"CreateClusterInput"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"createCluster"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"Variable","name":{"kind":"Name","value":"input"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"InlineFragment","typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"CreateClusterSuccess"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"cluster"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"databaseId"}}]}}]}},{"kind":"FragmentSpread","name":{"kind":"Name","value":"Refusal"}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"Refusal"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"Error"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"code"}},{"kind":"Field","name":{"kind":"Name","value":"message"}}]}}]} as unknown as DocumentNode<CreateClusterMutation, CreateClusterMutationVariables>;
export const UpdateClusterDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"mutation","name":{"kind":"Name","value":"UpdateCluster"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"input"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"UpdateClusterInput"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"updateCluster"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"Variable","name":{"kind":"Name","value":"input"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"InlineFragment","typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"UpdateClusterSuccess"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"cluster"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"databaseId"}}]}}]}},{"kind":"FragmentSpread","name":{"kind":"Name","value":"Refusal"}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"Refusal"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"Error"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"code"}},{"kind":"Field","name":{"kind":"Name","value":"message"}}]}}]} as unknown as DocumentNode<UpdateClusterMutation, UpdateClusterMutationVariables>;
export const DeleteClusterDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"mutation","name":{"kind":"Name","value":"DeleteCluster"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"input"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"DeleteClusterInput"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"deleteCluster"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"Variable","name":{"kind":"Name","value":"input"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"InlineFragment","typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"DeleteClusterSuccess"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"deletedDatabaseId"}}]}},{"kind":"FragmentSpread","name":{"kind":"Name","value":"Refusal"}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"Refusal"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"Error"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"code"}},{"kind":"Field","name":{"kind":"Name","value":"message"}}]}}]} as unknown as DocumentNode<DeleteClusterMutation, DeleteClusterMutationVariables>;
export const ImportClustersDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"mutation","name":{"kind":"Name","value":"ImportClusters"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"input"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"ImportClustersInput"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"importClusters"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"Variable","name":{"kind":"Name","value":"input"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"InlineFragment","typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"ImportClustersSuccess"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"createdCount"}}]}},{"kind":"FragmentSpread","name":{"kind":"Name","value":"Refusal"}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"Refusal"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"Error"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"code"}},{"kind":"Field","name":{"kind":"Name","value":"message"}}]}}]} as unknown as DocumentNode<ImportClustersMutation, ImportClustersMutationVariables>;