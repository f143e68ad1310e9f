// Finds the regular expressions in the sources of the product.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export type Pattern = { file: string; line: number; source: string; flags: string }

/** A slash begins an expression where no value can be before it. */
const LITERAL = /(?<=[([{,;:=!&|?>]\s*|\breturn\s+|=>\s*)\/((?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+)\/([dgimsuvy]*)/g

export function patternsIn(folders: readonly string[]): Pattern[] {
  return folders.flatMap(filesBelow).flatMap(patternsOf)
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.includes('generated'))
    .map((name) => join(folder, name))
    .sort()
}

function patternsOf(file: string): Pattern[] {
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.flatMap((text, index) => {
    const code = text.trimStart()
    if (code.startsWith('//') || code.startsWith('*') || code.startsWith('/*')) return []
    return [...text.matchAll(LITERAL)].map(([, source = '', flags = '']) => ({ file, line: index + 1, source, flags }))
  })
}
