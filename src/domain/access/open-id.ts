/** The OpenID Connect providers that people sign in by. */
export class OpenId {
  readonly names: readonly string[];

  constructor({ providers }: { providers: readonly { readonly name: string }[] }) {
    this.names = providers.map(({ name }) => name);
  }
}
