import type { DocumentNode } from 'graphql';

/** Maximum characters of all cached documents. A parsed document takes up to 200 bytes of memory per character. */
const MAX_CHARACTERS = 256 * 1024;
/** Maximum characters of a cached document. Longer ones usually contain inline values and are not sent again. */
const MAX_DOCUMENT = 16 * 1024;

/**
 * LRU cache of parsed documents by their text. Anonymous callers can fill it too, so it is bounded by size, not by
 * number of documents.
 */
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
