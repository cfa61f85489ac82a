import type { DocumentNode } from 'graphql';

/** Characters of all documents that are remembered; a parsed one holds up to 200 times as many bytes. */
const MAX_CHARACTERS = 256 * 1024;
/** Characters of the largest document that is remembered: longer ones carry their values in them and come once. */
const MAX_DOCUMENT = 16 * 1024;

/** The documents that were parsed last, by their text. Anybody may send them, so they are bounded by size, not by number. */
export class DocumentCache {
  readonly #documents = new Map<string, DocumentNode>();
  #characters = 0;

  get(text: string): DocumentNode | undefined {
    const document = this.#documents.get(text);
    if (document) {
      this.#documents.delete(text);
      this.#documents.set(text, document);
    }
    return document;
  }

  set(text: string, document: DocumentNode): void {
    if (text.length > MAX_DOCUMENT || this.#documents.has(text)) return;
    this.#documents.set(text, document);
    this.#characters += text.length;
    for (const oldest of this.#documents.keys()) {
      if (this.#characters <= MAX_CHARACTERS) return;
      this.#documents.delete(oldest);
      this.#characters -= oldest.length;
    }
  }
}
