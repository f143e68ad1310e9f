// Writes the bytes into docs/format/example.md: each block below a line `<!-- bytes: NAME -->`.
// Usage: node test/support/make-format-example.ts

import { readFileSync, writeFileSync } from 'node:fs'
import { fillExample } from './format-example-page.ts'

const PAGE = 'docs/format/example.md'
writeFileSync(PAGE, fillExample(readFileSync(PAGE, 'utf8')))
