// Cuts texts to a maximum length, and never in the middle of a character (the two UTF-16 units of an emoji): for half a character the API
// server stores U+FFFD, and Go refuses a gRPC message that contains one.

/**
 * At most `mostChars` UTF-16 units, which are never fewer than the characters that the API server and Go count, with a mark if the text
 * was cut. `mostChars` is 1 or more.
 */
export function cut(text: string, mostChars: number): string {
  return text.length <= mostChars ? text.toWellFormed() : `${beginning(text, mostChars - 1)}…`
}

/** The same without a mark. */
export function beginning(text: string, mostChars: number): string {
  const kept = text.slice(0, mostChars)
  const isSplit = text.length > mostChars && /[\uD800-\uDBFF]$/.test(kept)
  return (isSplit ? kept.slice(0, -1) : kept).toWellFormed()
}
