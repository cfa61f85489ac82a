/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { TypedDocumentNode as DocumentNode } from '@graphql-typed-document-node/core';
/** Restricts clusters. A cluster must match every field that is set. */
export type ClusterFilter = {
  /** Clusters with a credential or CA certificate that expires within this many days, or has expired. 0 to 3,650 days. */
  credentialExpiresWithinDays?: number | null | undefined;
  /** true: only enabled clusters. false: only disabled clusters. */
  enabled?: boolean | null | undefined;
  /** Clusters with labels that match this Kubernetes label selector, such as `env in (staging, prod), !legacy, tier != db`. */
  labelSelector?: string | null | undefined;
  /** Clusters with one of these names. */
  names?: Array<string> | null | undefined;
  /** Clusters with this text in their name or description, ignoring case. */
  search?: string | null | undefined;
  /** Clusters in one of these states. */
  states?: Array<ClusterState> | null | undefined;
};

/** The last observed state of a cluster. */
export type ClusterState =
  /** The API server accepts the credential and reports that it is not ready. */
  | 'DEGRADED'
  /** The cluster is disabled: Kitestring does not connect to it. */
  | 'DISABLED'
  /** Not probed since the cluster was registered or its connection settings changed. */
  | 'PENDING'
  /** The API server accepts the credential and reports that it is ready. */
  | 'READY'
  /** The API server rejects the credential. */
  | 'UNAUTHORIZED'
  /** Kitestring cannot connect, TLS fails, the response takes too long, or the server is not a Kubernetes API server. */
  | 'UNREACHABLE'
  /** The kubeconfig cannot be used. */
  | 'UNUSABLE';

export type FleetPageQueryVariables = Exact<{
  first: number;
  after?: string | null | undefined;
  filter?: ClusterFilter | null | undefined;
}>;


export type FleetPageQuery = { clusters: { totalCount: number, changesCursor: string, nodes: Array<{ id: string, name: string, isDefault: boolean, status: { state: ClusterState, version: string | null, error: { message: string } | null } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type FleetChangesSubscriptionVariables = Exact<{
  after?: string | null | undefined;
}>;


export type FleetChangesSubscription = { clusterChanged:
    | { __typename: 'ClusterChangesReset', cursor: string }
    | { __typename: 'ClusterRemoved', cursor: string, id: string }
    | { __typename: 'ClusterUpserted', cursor: string, cluster: { id: string, name: string, status: { state: ClusterState, version: string | null } } }
   };


export const FleetPageDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"FleetPage"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"first"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"Int"}}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"after"}},"type":{"kind":"NamedType","name":{"kind":"Name","value":"String"}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"filter"}},"type":{"kind":"NamedType","name":{"kind":"Name","value":"ClusterFilter"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"clusters"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"first"},"value":{"kind":"Variable","name":{"kind":"Name","value":"first"}}},{"kind":"Argument","name":{"kind":"Name","value":"after"},"value":{"kind":"Variable","name":{"kind":"Name","value":"after"}}},{"kind":"Argument","name":{"kind":"Name","value":"filter"},"value":{"kind":"Variable","name":{"kind":"Name","value":"filter"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"totalCount"}},{"kind":"Field","name":{"kind":"Name","value":"changesCursor"}},{"kind":"Field","name":{"kind":"Name","value":"nodes"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"isDefault"}},{"kind":"Field","name":{"kind":"Name","value":"status"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"version"}},{"kind":"Field","name":{"kind":"Name","value":"error"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"message"}}]}}]}}]}},{"kind":"Field","name":{"kind":"Name","value":"pageInfo"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"hasNextPage"}},{"kind":"Field","name":{"kind":"Name","value":"endCursor"}}]}}]}}]}}]} as unknown as DocumentNode<FleetPageQuery, FleetPageQueryVariables>;
export const FleetChangesDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"subscription","name":{"kind":"Name","value":"FleetChanges"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"after"}},"type":{"kind":"NamedType","name":{"kind":"Name","value":"String"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"clusterChanged"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"after"},"value":{"kind":"Variable","name":{"kind":"Name","value":"after"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"__typename"}},{"kind":"InlineFragment","typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"ClusterUpserted"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"cursor"}},{"kind":"Field","name":{"kind":"Name","value":"cluster"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"status"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"version"}}]}}]}}]}},{"kind":"InlineFragment","typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"ClusterRemoved"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"cursor"}},{"kind":"Field","name":{"kind":"Name","value":"id"}}]}},{"kind":"InlineFragment","typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"ClusterChangesReset"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"cursor"}}]}}]}}]}}]} as unknown as DocumentNode<FleetChangesSubscription, FleetChangesSubscriptionVariables>;