// The bytes of the worked example as docs/format/example.md shows them.

import { type FormatExample, formatExample } from './format-example.ts'
import { secondExample } from './format-example-second.ts'

const BLOCK = /(<!-- bytes: (.+) -->\n```\w*\n)[^`]*(```)/g

export const exampleObjects = (): FormatExample[] => [...formatExample().objects, ...secondExample().objects]

/** The page, with the bytes that the code makes. Throws when one side lacks a block of the other. */
export function fillExample(page: string): string {
  const blocks = new Map(exampleObjects().map(({ block, bytes }) => [block, textOf(bytes)]))
  const filled = page.replaceAll(BLOCK, (_all, head: string, block: string, tail: string) => {
    const text = blocks.get(block)
    if (!blocks.delete(block)) throw new Error(`the example has no bytes for '${block}', or the page shows them twice`)
    return `${head}${text}${tail}`
  })
  if (blocks.size > 0) throw new Error(`the page does not show ${[...blocks.keys()].join(', ')}`)
  return filled
}

/** JSON as it is, everything else as hex digits, 32 bytes a line. */
function textOf(bytes: Buffer): string {
  if (bytes[0] === '{'.charCodeAt(0)) return bytes.toString('utf8')
  return bytes.toString('hex').replaceAll(/.{1,64}/g, '$&\n')
}
