/** The path prefix of the assets of the GraphiQL page. Their names contain a hash of their content. */
export const ASSETS = '/graphql/assets/';
