// Documents of the repository, for the tests that compare them with the code.

import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Files at any depth below `folder`, sorted, without those of packages. */
export function filesBelow(folder: string, isWanted: (file: string) => boolean): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((file) => isWanted(file) && !file.includes('node_modules') && statSync(file).isFile())
    .sort()
}

/** Anchors of the headings, as GitHub makes them. A `#` in a block of code is no heading. */
export function anchorsOf(page: string): string[] {
  const prose = page.replaceAll(/^```[\s\S]*?^```/gm, '')
  const headings = [...prose.matchAll(/^#+ (.+)$/gm)].map(([, text]) => text ?? '')
  return headings.map((text) =>
    text
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
