// Makes foreign text (a server's message, the beginning of a page) safe for a message of Dormouse: one line, no
// control characters, bounded length. All text from a server passes through here before it goes into a status, an Event or a log line.

import { beginning } from './cut.ts'

/** Cuts the text before any matching: the pattern sees no more than is shown. */
export function excerptOf(text: string, mostChars: number): string {
  const line = text
    .slice(0, 4 * mostChars)
    // Control and format characters (also those that change the direction of text), line separators, unpaired surrogates.
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\s]+/gu, ' ')
    .trim()
  return line.length <= mostChars && text.length <= 4 * mostChars ? line : `${beginning(line, mostChars)}…`
}

/** The beginning of a body of unknown type. */
export function excerptOfBytes(bytes: Uint8Array, mostChars: number): string {
  const start = bytes.subarray(0, 4 * mostChars)
  return excerptOf(new TextDecoder('utf-8').decode(start).replaceAll('\ufffd', ' '), mostChars)
}
