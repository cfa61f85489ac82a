/** An example operation: one tab of GraphiQL. */
export interface Example {
  readonly query: string;
  readonly variables?: object;
}

const KUBECONFIG = `apiVersion: v1
kind: Config
clusters: [{ name: demo, cluster: { server: "https://127.0.0.1:6443" } }]
users: [{ name: demo, user: { token: put-a-real-token-here } }]
contexts: [{ name: demo, context: { cluster: demo, user: demo } }]
current-context: demo
`;

const REFUSAL = `... on Error {
      code
      message
    }`;

/** The examples that GraphiQL opens with, in the order in which a new user needs them. */
export const EXAMPLES: readonly Example[] = [
  {
    query: `# Enter an API key above, then press Ctrl-Enter.
# Shows the last observed status, so that an
# unreachable cluster does not delay the list.
query Clusters {
  clusters(first: 20) {
    totalCount
    stateCounts {
      state
      count
    }
    nodes {
      databaseId
      name
      isDefault
      labels {
        key
        value
      }
      status {
        state
        since
        version
        error {
          message
        }
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
`,
  },
  {
    query: `# You can also use { id } or { databaseId }.
query ClusterByName($name: String!) {
  cluster(by: { name: $name }) {
    id
    apiServer
    enabled
    revision
    credential {
      kind
      expiresAt
      problem
    }
    status {
      state
      version
    }
  }
}
`,
    variables: { name: 'demo-cluster' },
  },
  {
    query: `# Print a self-contained kubeconfig of one cluster:
# kubectl config view --raw --flatten --minify
mutation CreateCluster($input: CreateClusterInput!) {
  createCluster(input: $input) {
    ... on CreateClusterSuccess {
      cluster {
        id
        databaseId
        name
        revision
      }
      warnings {
        message
      }
    }
    ... on InvalidInputError {
      issues {
        path
        message
      }
    }
    ${REFUSAL}
  }
}
`,
    variables: {
      input: {
        name: 'demo-cluster',
        description: 'staging cluster',
        labels: [{ key: 'env', value: 'staging' }],
        credential: { kubeconfig: { text: KUBECONFIG } },
      },
    },
  },
  {
    query: `# Omitted fields keep their values; null clears a
# field. With expectedRevision, the update fails if
# the cluster has changed since you read it.
mutation UpdateCluster($input: UpdateClusterInput!) {
  updateCluster(input: $input) {
    ... on UpdateClusterSuccess {
      cluster {
        name
        description
        revision
      }
    }
    ... on RevisionConflictError {
      current {
        description
        revision
      }
    }
    ${REFUSAL}
  }
}
`,
    variables: {
      input: { by: { name: 'demo-cluster' }, expectedRevision: 1, description: 'the staging cluster of the shop' },
    },
  },
  {
    query: `# Shows the outcome for every context. A dry run
# stores nothing.
mutation ImportDryRun($input: ImportClustersInput!) {
  importClusters(input: $input) {
    ... on ImportClustersSuccess {
      createdCount
      contexts {
        context
        outcome
        problem
      }
    }
    ${REFUSAL}
  }
}
`,
    variables: { input: { kubeconfig: KUBECONFIG, onNameTaken: 'SKIP', dryRun: true } },
  },
  {
    query: `# Deletes the cluster and its credential, unless
# it has changed since you read it.
mutation DeleteCluster($input: DeleteClusterInput!) {
  deleteCluster(input: $input) {
    ... on DeleteClusterSuccess {
      deletedId
      deletedDatabaseId
    }
    ${REFUSAL}
  }
}
`,
    variables: { input: { by: { name: 'demo-cluster' }, expectedRevision: 2 } },
  },
  {
    query: `# Runs until you stop it. To resume later, pass the
# last cursor that you received as $after.
subscription ClusterChanges($after: String) {
  clusterChanged(after: $after) {
    ... on ClusterUpserted {
      cursor
      cluster {
        name
        revision
        status {
          state
        }
      }
    }
    ... on ClusterRemoved {
      cursor
      databaseId
    }
    ... on ClusterChangesReset {
      cursor
    }
  }
}
`,
  },
];
