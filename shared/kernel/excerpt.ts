// Words of somebody else (a server's message, the beginning of a page), made fit for a message of ours: one line, no
// control characters, never long. Nothing that a server sends goes into a status, an Event or a log line without it.

import { beginning } from './cut.ts'

/** Cut before anything looks at the text: what is matched is as short as what is shown. */
export function excerptOf(text: string, mostChars: number): string {
  const line = text
    .slice(0, 4 * mostChars)
    // Control and format characters (also those that turn text around), separators of lines, halves of pairs.
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\s]+/gu, ' ')
    .trim()
  return line.length <= mostChars && text.length <= 4 * mostChars ? line : `${beginning(line, mostChars)}…`
}

/** The beginning of a body of unknown kind. */
export function excerptOfBytes(bytes: Uint8Array, mostChars: number): string {
  const start = bytes.subarray(0, 4 * mostChars)
  return excerptOf(new TextDecoder('utf-8').decode(start).replaceAll('\ufffd', ' '), mostChars)
}
