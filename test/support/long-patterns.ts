// Runs as a child process: tries every regular expression of the product on very long strings that provoke backtracking. It prints each one
// before trying it; so when the parent's time limit ends the child, the parent can name the expression that did not return.

import { type Pattern, patternsIn } from './patterns.ts'

const CHARS = Number(process.argv[2] ?? 400_000)
const COMMON = ['/', ' ', 'a', '0', '-', '.', '\n', '"', '\\', '(', 'a.', '1s']
/** Expressions that may take more than linear time: by file, the most characters that they ever get (the code beside them says so). */
const BOUNDED: Record<string, number> = {
  'shared/repository/stores/s3/answers.ts': 1024,
  'shared/controllers/announce.ts': 200,
  'shared/kernel/go-duration.ts': 64,
}

/** Single characters that the expression contains, and its longest run of plain text. */
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
