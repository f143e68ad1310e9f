// Run as a child: every regular expression of the product on very long strings that are made to hurt it. Prints each before it is tried,
// so that the parent, which gives the child a limit, can name the one that did not come back.

import { type Pattern, patternsIn } from './patterns.ts'

const CHARS = Number(process.argv[2] ?? 400_000)
const COMMON = ['/', ' ', 'a', '0', '-', '.', '\n', '"', '\\', '(', 'a.', '1s']
/** What more than linear work does no harm to: the file, and the most characters that its expressions ever see (the code beside them says so). */
const BOUNDED: Record<string, number> = {
  'shared/repository/stores/s3/answers.ts': 1024,
  'shared/controllers/announce.ts': 200,
  'shared/kernel/go-duration.ts': 64,
}

/** Single characters that the expression speaks of, and its longest run of plain text. */
function unitsOf({ source }: Pattern): string[] {
  const plain = source.replaceAll(/\\([^\w\s])/g, '$1').match(/[\w \-/=:.]{3,}/g) ?? []
  const marks = source.match(/[^\w\s\\^$*+?|()]/g) ?? []
  return [...new Set([...COMMON, ...marks, ...plain, ...plain.map((text) => `${text} "`)])]
}

function textsFor(pattern: Pattern, chars: number): string[] {
  const start = (pattern.source.replaceAll('\\', '').match(/^\^?([\w \-/=:.]{2,})/) ?? [])[1] ?? ''
  return unitsOf(pattern).flatMap((unit) => {
    const body = unit.repeat(Math.ceil(chars / unit.length)).slice(0, chars)
    return [`${body}\u0001`, `${start}${body}x\u0001`, `a:b${body}x\u0001`]
  })
}

const patterns = patternsIn(['shared', 'functions', 'velero', 'cli'])
for (const pattern of patterns) {
  const chars = Math.min(CHARS, BOUNDED[pattern.file] ?? CHARS)
  const startMs = performance.now()
  console.log(`${pattern.file}:${pattern.line} /${pattern.source}/`)
  const expression = new RegExp(pattern.source, pattern.flags)
  for (const text of textsFor(pattern, chars)) text.match(expression)
  if (process.argv[3] === '--time') console.log(Math.round(performance.now() - startMs))
}
console.log(`tried ${patterns.length}`)
