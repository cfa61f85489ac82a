/** An operation to start from: a tab of GraphiQL. */
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

/** What the schema is for, in the order in which one meets it. */
export const EXAMPLES: readonly Example[] = [
  {
    query: `# Enter an API key above, then press Ctrl-Enter.
# The state is the last observed one: no dead
# cluster delays the list.
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
    query: `# By { id } and by { databaseId } work too.
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
    query: `# The kubeconfig of one cluster, self-contained:
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
    query: `# Absent keeps, null clears. expectedRevision
# refuses to overwrite a change you have not seen.
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
    query: `# An answer for every context; nothing is stored.
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
    query: `# Forgets the cluster and its credential, unless
# it was changed meanwhile.
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
    query: `# Goes on until you stop it. After a break: begin
# after the last cursor you saw.
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
