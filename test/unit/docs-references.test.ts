// Code refers only to what a reader of this repository can open: existing documents, their headings, and sections of public standards.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join, normalize } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { anchorsOf, filesBelow } from '../support/documents.ts'

const references = suite('what code refers to')

const SOURCE = /\.(ts|mjs|c|h|go|sh|yaml|yml)$/
const SOURCES_WITHOUT_ENDING = ['Makefile', 'Containerfile', 'run']
const NOT_OURS = ['node_modules', 'build', '.git']

function sourceFiles(): string[] {
  const isSource = (file: string) => SOURCE.test(file) || SOURCES_WITHOUT_ENDING.includes(basename(file))
  return readdirSync('.')
    .filter((name) => !NOT_OURS.includes(name))
    .flatMap((name) => (statSync(name).isDirectory() ? filesBelow(name, isSource) : [name].filter(isSource)))
}

const ADDRESS = /\bhttps?:\/\/\S+/g
const DOCUMENT = /(?<![\w@/.$}-])((?:[\w.-]+\/)*[\w-]+\.md)(#[\p{L}\p{N}_-]*)?/gu
const SECTION_SIGN = '\u00a7'
/** Public standards. Add another one here by its name. */
const STANDARD = /\b(?:RFC \d+|XML 1\.0) $/

type Reference = { path: string; anchor: string | undefined }

const README = basename('docs/format/README.md')
/** How documents at the root are named. Any other name without a folder may belong to another project. */
const ROOT_DOCUMENT = /^[A-Z]+\.md$/

function documentsIn(line: string): Reference[] {
  return [...line.replaceAll(ADDRESS, '').matchAll(DOCUMENT)]
    .map(([, path = '', anchor]) => ({ path, anchor: anchor?.slice(1) }))
    .filter(({ path }) => path.includes('/') || ROOT_DOCUMENT.test(path))
}

/** Paths are relative to the repository's root, as most are, or to the folder of the file. */
function placesOf(file: string, path: string): string[] {
  const beside = normalize(join(dirname(file), path))
  return path.startsWith('.') || path === README ? [beside] : [path, beside]
}

/** undefined: the reference is valid. */
function lossOf(file: string, { path, anchor }: Reference): string | undefined {
  const found = placesOf(file, path).find(existsSync)
  if (found === undefined) return `there is no ${path}`
  if (anchor === undefined || anchorsOf(readFileSync(found, 'utf8')).includes(anchor)) return undefined
  return `${path} has no heading #${anchor}`
}

/** Section signs without the name of a standard before them. */
function foreignSections(line: string): string[] {
  const before = line.split(SECTION_SIGN).slice(0, -1)
  return before
    .filter((words) => !STANDARD.test(words))
    .map((words) => `a section of no named standard: “${words.slice(-40)}${SECTION_SIGN}”`)
}

function lostIn(file: string, text: string): string[] {
  return text.split('\n').flatMap((line, index) => {
    const lost = documentsIn(line).flatMap((reference) => lossOf(file, reference) ?? [])
    return [...lost, ...foreignSections(line)].map((what) => `${file}:${index + 1}: ${what}`)
  })
}

references('every document and heading that code names is here, and a section is one of a public standard', () => {
  const files = sourceFiles()
  const found = files.flatMap((file) => documentsIn(readFileSync(file, 'utf8')))
  assert.ok(files.length > 800 && found.length > 80, 'the scan finds the sources and their references')
  assert.equal(
    files.flatMap((file) => lostIn(file, readFileSync(file, 'utf8'))),
    [],
  )
})

/** Built from parts, so that this file itself does not contain these references. */
const page = (name: string, anchor = '') => `docs/design/${name}.md${anchor}`
const sign = SECTION_SIGN

const LOST = {
  'a document that is not here': `// As the notes say (${page('0099-none')}).`,
  'a heading that the document does not have': `// Names: ${page('0001-shape', '#no-such-heading')}.`,
  'a heading of another case': `// Names: ${page('0001-shape', '#Names')}.`,
  'a heading without a name': `// Names: ${page('0001-shape', '#')}.`,
  'a document that is not at the root': `// as ${['DESIGN', 'md'].join('.')} says`,
  'a README that is not in the folder': `/* what the tests control (${README}) */`,
  'a document that is not beside the folder': `# see ../${page('0001-shape')}`,
  'a section of a design that is not here': `/** Seen within 5 s (design ${sign}3.3). */`,
  'a bare section': `/* the adapter writes at these offsets (${sign}1.2). */`,
  'a section after one of a standard': `// RFC 9110 ${sign}6.6.1, ${sign}1.4`,
  'a section of a standard without a name': `# the RFC ${sign}2`,
}
for (const [kind, line] of Object.entries(LOST)) {
  references(`found: ${kind}`, () => {
    assert.is(lostIn('shared/kernel/clock.ts', `const a = 1\n${line}\n`).length, 1)
  })
}

const FOUND = {
  'a document': `// ${page('0001-shape')}, and more`,
  'a heading': `// (${page('0001-shape', '#names')})`,
  'a document at the root, and its heading': `// ${['ARCHITECTURE', 'md'].join('.')}#the-life-of-a-restore`,
  'a README in the folder': `// see ${README}`,
  'documents from the folder': `// see ../../velero/${README}, ../../docs/acceptance.md`,
  'a page of another project': '// Velero, file-system-backup.md; https://example.org/spec/none.md#a',
  'sections of standards': `// RFC 9110 ${sign}6.6.1, XML 1.0 ${sign}2.2`,
}
for (const [kind, line] of Object.entries(FOUND)) {
  references(`allowed: ${kind}`, () => {
    assert.equal(lostIn('functions/upload/handler.ts', line), [])
  })
}

references.run()
