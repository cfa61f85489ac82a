import type { DocumentNode } from 'graphql';
import { LRUCache } from 'lru-cache';

/** Maximum characters of all cached documents. A parsed document takes up to 200 bytes of memory per character. */
const MAX_CHARACTERS = 256 * 1024;
/** Maximum characters of a cached document. Longer ones usually contain inline values and are not sent again. */
const MAX_DOCUMENT = 16 * 1024;

/**
 * Creates a cache of parsed documents by their text. Anonymous callers can fill it too, so it is bounded by size, not by
 * number of documents.
 */
export function createDocumentCache(): LRUCache<string, DocumentNode> {
  return new LRUCache({
    maxSize: MAX_CHARACTERS,
    maxEntrySize: MAX_DOCUMENT,
    sizeCalculation: (_document, text) => text.length,
  });
}
