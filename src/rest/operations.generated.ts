/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { TypedDocumentNode as DocumentNode } from '@graphql-typed-document-node/core';
/** An action that a role can allow. More actions may be added. */
export type Action =
  /** Manage users, roles and API keys that allow no more than the viewer’s own permissions. */
  | 'ACCESS_MANAGE'
  /** Read the audit log. */
  | 'AUDIT_READ'
  /** Register clusters. */
  | 'CLUSTERS_CREATE'
  /** Delete clusters. */
  | 'CLUSTERS_DELETE'
  /** Import clusters from a kubeconfig. */
  | 'CLUSTERS_IMPORT'
  /** Let a cluster connection use the service account of Kitestring’s own pod. */
  | 'CLUSTERS_IN_CLUSTER'
  /** Read live data from a cluster, with the credential that Kitestring stores for it. */
  | 'CLUSTERS_LIVE'
  /** Read clusters: in lists, in change streams and one by one. */
  | 'CLUSTERS_READ'
  /** Update clusters. */
  | 'CLUSTERS_UPDATE'
  /** Read the metrics. */
  | 'METRICS_READ'
  /** Use the REST routes of the registry. */
  | 'REST_USE';

/** Identifies one cluster. Exactly one field must be set. */
export type ClusterBy =
  {   /** The id of the cluster in the REST API. */
  databaseId: number; id?: never; name?: never; }
  |  { databaseId?: never;   /** The global id of the cluster. */
  id: string; name?: never; }
  |  { databaseId?: never; id?: never;   /** The name of the cluster, compared byte for byte. */
  name: string; };

/** How Kitestring connects to the cluster. Exactly one field must be set. */
export type ClusterCredentialInput =
  {   /** true: connects with the service account of the pod that Kitestring runs in. false: connects with the stored kubeconfig. */
  inCluster: boolean; kubeconfig?: never; }
  |  { inCluster?: never;   /** Connects with this kubeconfig. */
  kubeconfig: KubeconfigInput; };

/** The API key to create. */
export type CreateApiKeyInput = {
  /** When the key expires. If absent, it never expires. */
  expiresAt?: string | null | undefined;
  /** The name of the key, which describes its purpose. 1 to 253 characters. */
  name: string;
  /** true: a personal key of the caller, which is deleted with their user. false: a service key, which requires ACCESS_MANAGE. */
  personal?: boolean;
  /** The names of its roles. On a personal key, only roles that the caller holds are allowed. */
  roles?: Array<string>;
  /** Limits the key to these actions. If absent, it may do everything that its roles allow. */
  scopes?: Array<Action> | null | undefined;
};

/** The cluster to register. */
export type CreateClusterInput = {
  /** How Kitestring connects to the cluster. Required unless `verify` is NONE. */
  credential?: ClusterCredentialInput | null | undefined;
  /** A free-text description, up to 10,000 characters. */
  description?: string | null | undefined;
  /** Whether Kitestring connects to the cluster. Defaults to true. */
  enabled?: boolean | null | undefined;
  /** true makes this the default cluster in place of the current one, which requires CLUSTERS_UPDATE on the current one. Defaults to false. */
  isDefault?: boolean | null | undefined;
  /** The labels, at most 64. */
  labels?: Array<LabelInput> | null | undefined;
  /** The name: unique, 1 to 253 characters, no control characters. */
  name: string;
  /** The URL of the cluster’s Prometheus: http or https, up to 2,048 characters. */
  prometheusURL?: string | null | undefined;
  /** How thoroughly the credential is checked before the cluster is stored. */
  verify?: Verification | null | undefined;
};

/** The cluster to delete. */
export type DeleteClusterInput = {
  /** The cluster to delete. */
  by: ClusterBy;
  /** The revision that you last read. If the cluster has another revision, the result is a RevisionConflictError. */
  expectedRevision?: number | null | undefined;
};

/** A stable code for an error, for programs. More codes may be added. */
export type ErrorCode =
  /** First-time setup is complete: a user already exists. */
  | 'ALREADY_SET_UP'
  /** Kitestring called the cluster and could not connect with this credential. */
  | 'CONNECTION_FAILED'
  /** The username or the password is wrong. */
  | 'CREDENTIALS_WRONG'
  /** The default cluster cannot be deleted; make another cluster the default first. */
  | 'DEFAULT_CLUSTER'
  /** The credential leads to a different cluster than before. */
  | 'DIFFERENT_CLUSTER'
  /** The viewer is not allowed to do this. */
  | 'FORBIDDEN'
  /** At least one field of the input is invalid; all invalid fields are listed. */
  | 'INVALID_INPUT'
  /** At least one enabled admin must remain. */
  | 'LAST_ADMIN'
  /** Another object already has this name. */
  | 'NAME_TAKEN'
  /** The object does not exist, or the viewer may not see it. */
  | 'NOT_FOUND'
  /** First-time setup is possible only while no cluster exists. */
  | 'REGISTRY_NOT_EMPTY'
  /** The cluster has been changed since the expected revision. */
  | 'REVISION_CONFLICT'
  /** Too many attempts; retry after `retryAfterSeconds`. */
  | 'TOO_MANY_ATTEMPTS'
  /** The caller already has 50 event streams open. */
  | 'TOO_MANY_STREAMS'
  /** The request has no valid credentials. */
  | 'UNAUTHENTICATED'
  /** The database is temporarily unavailable. */
  | 'UNAVAILABLE';

/** The kubeconfig to import. Each of its contexts becomes a cluster named after the context. */
export type ImportClustersInput = {
  /** The names of the contexts to import. If absent, all contexts are imported. */
  contexts?: Array<string> | null | undefined;
  /** true returns the expected results without storing anything. */
  dryRun?: boolean;
  /** true creates one cluster, named `in-cluster`, for the cluster that Kitestring runs in, and reads no kubeconfig. */
  inCluster?: boolean;
  /** The kubeconfig as YAML or JSON. Required unless `inCluster` is true. */
  kubeconfig?: string | null | undefined;
  /** How to handle a context if its name is already taken by a cluster. */
  onNameTaken?: NameTaken;
  /** true for first-time setup: if a cluster exists, the result is a RegistryNotEmptyError. */
  onlyIfEmpty?: boolean;
  /** How thoroughly each context is checked. SYNTAX rejects each context that cannot be used; NONE stores those too. */
  verify?: Verification;
};

/** A kubeconfig and the context to use from it. */
export type KubeconfigInput = {
  /** The name of the context to use. If absent, the current context, or the only one. */
  context?: string | null | undefined;
  /** The kubeconfig as YAML or JSON. It must be self-contained (`kubectl config view --raw --flatten`). */
  text: string;
};

/** A Kubernetes-style label. */
export type LabelInput = {
  /** The key: an optional DNS prefix and `/`, then up to 63 characters. */
  key: string;
  /** The value: up to 63 characters, may be empty. */
  value: string;
};

/** How an import handles a context if its name is already taken by a cluster. */
export type NameTaken =
  /** Imports no context: the result is a NameTakenError. */
  | 'FAIL'
  /** Keeps the existing cluster unchanged. */
  | 'SKIP'
  /** Stores the context’s credential in the existing cluster. If the viewer may not update that cluster, the context is REFUSED. */
  | 'UPDATE';

/** The API key to revoke. */
export type RevokeApiKeyInput = {
  /** The id of the API key. */
  databaseId: number;
};

/** Changes to a cluster. An absent field keeps its value; null clears it. */
export type UpdateClusterInput = {
  /** Only with `verify: CONNECT`: true accepts a credential that leads to a different cluster. Otherwise the result is a DifferentClusterError. */
  allowDifferentCluster?: boolean | null | undefined;
  /** The cluster to update. */
  by: ClusterBy;
  /** The new credential. */
  credential?: ClusterCredentialInput | null | undefined;
  /** The new description, up to 10,000 characters. Null or the empty string clears it. */
  description?: string | null | undefined;
  /** Whether Kitestring connects to the cluster. */
  enabled?: boolean | null | undefined;
  /** The revision that you last read. If the cluster has another revision, the result is a RevisionConflictError. */
  expectedRevision?: number | null | undefined;
  /** true makes this the default cluster in place of the current one. false on the default cluster leaves the registry without a default. */
  isDefault?: boolean | null | undefined;
  /** The complete new set of labels, at most 64. It replaces all existing labels; null removes them. */
  labels?: Array<LabelInput> | null | undefined;
  /** The new name: unique, 1 to 253 characters, no control characters. */
  name?: string | null | undefined;
  /** The new URL of the cluster’s Prometheus, http or https, up to 2,048 characters. Null or the empty string clears it. */
  prometheusURL?: string | null | undefined;
  /** How thoroughly the credential is checked before it is stored. */
  verify?: Verification | null | undefined;
};

/** How thoroughly a credential is checked before it is stored. */
export type Verification =
  /** As SYNTAX, and also calls the API server, which must accept the credential. */
  | 'CONNECT'
  /** Performs no check. A kubeconfig that cannot be used is stored, and the cluster becomes UNUSABLE with the reason. */
  | 'NONE'
  /** Requires a kubeconfig that Kitestring can parse and use. Does not call the cluster. */
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