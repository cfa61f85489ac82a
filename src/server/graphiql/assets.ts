/** Where the assets of GraphiQL's page are, each named by a hash of its content. */
export const ASSETS = '/graphql/assets/';
