// Compares the documents with the code: reasons, settings, metrics, the tests that prove acceptance rows, links.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { MEANINGS } from '#shared/providers/vddk/meanings.ts'
import { anchorsOf, filesBelow } from '../support/documents.ts'

const docs = suite('the documents')

const read = (file: string) => readFileSync(file, 'utf8')
const sorted = (words: Iterable<string>) => [...new Set(words)].sort()
const missingFrom = (known: readonly string[], wanted: readonly string[]) =>
  wanted.filter((word) => !known.includes(word))

const endsWith = (ending: string) => (file: string) => file.endsWith(ending)

/** The code that runs in pods and on people's machines; the in-memory fakes show nothing to users. */
function productFiles(): string[] {
  const all = ['shared', 'functions', 'cli', 'velero']
    .filter(existsSync)
    .flatMap((folder) => filesBelow(folder, endsWith('.ts')))
  return all.filter((file) => !/^shared\/(adapters\/memory|api\/generated)\//.test(file))
}

/** The words that `patterns` find: their group 1, or the quoted words inside of it. */
function wordsIn(source: string, patterns: readonly RegExp[]): string[] {
  const found = patterns.flatMap((pattern) => [...source.matchAll(pattern)].map(([, words]) => words ?? ''))
  return found.flatMap((words) => (/^[A-Z]\w*$/.test(words) ? [words] : quoted(words)))
}

const quoted = (text: string) => [...text.matchAll(/'([A-Z][A-Za-z0-9]+)'/g)].map(([, word]) => word ?? '')

const REASONS = [
  /new \w*Error\(\s*'([A-Z][A-Za-z0-9]+)',/g,
  // `reason: …`, `reason = …`, `.reason === …`, up to the end of that part.
  /\breason\b(?!\.startsWith)([^,;\n]*)/gi,
  /const [A-Z_]+_INVALID = '([A-Z]\w+)'/g,
  /'(?:Normal|Warning)',\s*'([A-Z]\w+)'/g,
  /\b(?:failed|warn|retryable|terminal)\([^'()]*'([A-Z]\w+)'/g,
  // Tables whose values are reasons.
  /const \w*REASONS?\w*\b[^=]* = \{([\s\S]*?)\n\}/g,
]
/** Reasons that an Event gets from a variable that holds a phase. */
const PHASES_AS_REASONS = ['UploadFailedAfterRetry']
const CONDITION_TYPES = [/\btype: '([A-Z][A-Za-z]+)',\s*status: '(?:True|False|Unknown)'/g]

/** A kind inside of a type, such as `Result<'Upload'>`, is no reason. */
const withoutTypeArguments = (source: string) => source.replaceAll(/<'\w+'(, \w+)*>/g, '')

function inSource(patterns: readonly RegExp[]): string[] {
  return sorted(productFiles().flatMap((file) => wordsIn(withoutTypeArguments(read(file)), patterns)))
}

/** The code in the first cell of each table row, below headings for which `isWanted` is true. */
function rowsOf(page: string, isWanted = (_heading: string) => true): string[] {
  let heading = ''
  return page.split('\n').flatMap((line) => {
    heading = /^#+ (.*)/.exec(line)?.[1] ?? heading
    const code = /^\| `([^`]+)` \|/.exec(line)?.[1]
    return code !== undefined && isWanted(heading) ? [code] : []
  })
}

const isTypes = (heading: string) => heading.startsWith('Condition types')

docs('reasons.md has every reason of the code, and no other', () => {
  const page = rowsOf(read('docs/operations/reasons.md'), (heading) => !isTypes(heading))
  const source = sorted([...inSource(REASONS), ...PHASES_AS_REASONS])
  assert.ok(source.length > 100, 'the scan finds the reasons')
  assert.equal(missingFrom(page, source), [], 'in the code, not in the page')
  assert.equal(missingFrom(source, page), [], 'in the page, not in the code')
  assert.equal(page.length, sorted(page).length, 'each has one row')
})

docs('reasons.md has every condition type of the code, and no other', () => {
  const page = rowsOf(read('docs/operations/reasons.md'), isTypes)
  assert.equal(sorted(page), inSource(CONDITION_TYPES))
})

docs('a function names only reasons that reasons.md explains, and every function has its page', () => {
  const known = rowsOf(read('docs/operations/reasons.md'))
  for (const step of readdirSync('functions')) {
    const page = read(`functions/${step}/README.md`)
    const line = /^\*\*Reasons\*\*(.*?)(?:\n\n|$(?![\s\S]))/ms.exec(page)?.[1]
    assert.ok(line, `functions/${step}/README.md has a part **Reasons**`)
    const named = [...line.matchAll(/`([^`]+)`/g)].map(([, word]) => word ?? '')
    assert.equal(missingFrom(known, named), [], step)
  }
})

docs('settings.md has every variable of the code with its default and range', () => {
  const page = read('docs/operations/settings.md')
  const rows = new Map(page.split('\n').flatMap((line) => rowCells(line)))
  const source = ['shared/kernel/env.ts', 'velero/settings.ts'].map(read).join('\n')
  const names = sorted(source.match(/DORMOUSE_[A-Z_]+/g) ?? [])
  assert.equal(sorted(rows.keys()), names)
  const shown: Record<string, string> = parse(read('config/services/config.yaml')).data
  for (const name of names) {
    const cells = rows.get(name)
    if (shown[name]) assert.is(cells?.[1], `\`${shown[name]}\``, `default of ${name}`)
    const range = new RegExp(`'${name}', \\d+, \\{ min: (\\d+), max: (\\d+) \\}`).exec(source)
    if (range !== null) assert.ok(cells?.[2]?.includes(`${range[1]} to ${range[2]}`), `range of ${name}`)
  }
})

/** A row about a variable, by its name. */
function rowCells(line: string): [string, string[]][] {
  const cells = line.split('|').map((cell) => cell.trim())
  const name = /^`(DORMOUSE_[A-Z_]+)`$/.exec(cells[1] ?? '')?.[1]
  return name === undefined ? [] : [[name, cells.slice(1)]]
}

const OWN_KEY = /^`dormouse\.dev\/[a-z-]+`/

docs('settings.md has every label and annotation of the code, and no other', () => {
  const rows = read('docs/operations/settings.md')
    .split('\n')
    .map((line) => line.split('|')[1]?.trim() ?? '')
    .filter((cell) => OWN_KEY.test(cell))
  const page = rows.flatMap((cell) => wordsOf(cell, /`(dormouse\.dev\/[a-z-]+)`/g))
  const source = sorted(productFiles().flatMap((file) => wordsOf(read(file), /'(dormouse\.dev\/[a-z-]+)'/g)))
  assert.ok(source.length > 20, 'the scan finds them')
  assert.equal(missingFrom(page, source), [], 'in the code, not in the page')
  assert.equal(missingFrom(source, page), [], 'in the page, not in the code')
  assert.equal(page.length, sorted(page).length, 'each has one row')
})

docs('metrics.md has every metric of the code, and no other', () => {
  const source = productFiles().flatMap((file) => wordsOf(read(file), /new (?:Counter|Histogram)\(\s*'([a-z_]+)'/g))
  assert.equal(sorted(rowsOf(read('docs/operations/metrics.md'))), sorted(source))
})

docs('vddk.md names every error code of VDDK that has a meaning', () => {
  const [, part = ''] = read('docs/development/vddk.md').split('\n## Error codes\n')
  const rows = part.split('\n## ')[0]?.match(/^\| [\d, ]+ \|/gm) ?? []
  const named = rows.flatMap((row) => row.match(/\d+/g) ?? [])
  const inNetHttp = (code: string) => Number(code) >= 30001 && Number(code) <= 30202
  const wanted = Object.keys(MEANINGS).filter((code) => !inNetHttp(code))
  assert.ok(wanted.length > 30, 'the codes are found')
  assert.equal(missingFrom(named, wanted), [])
})

const wordsOf = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, word]) => word ?? '')

const ROWS = [
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
  33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 52, 53, 56, 58, 59, 60,
]

type NamedTest = { file: string; name: string }

/** Tests as the page names them: the file as code, its title in quotation marks. */
function testsNamedIn(text: string): NamedTest[] {
  const named = text.matchAll(/`(test\/[\w./-]+\.test\.ts)`: “([^”]+)”/g)
  return [...named].map(([, file = '', name = '']) => ({ file, name }))
}

/** Row number to the tests that prove it. */
function acceptanceRows(): Map<number, NamedTest[]> {
  const rows = [...read('docs/acceptance.md').matchAll(/^\| (\d+) \|.*$/gm)]
  return new Map(rows.map(([line, number]) => [Number(number), testsNamedIn(line)]))
}

/** True when the file has a test with that title; `…` stands for what a template fills in. */
function isTitleIn(file: string, name: string): boolean {
  const words = name.split('…').map((part) => RegExp.escape(part))
  return new RegExp(`\\w\\(\\s*(['"\`])${words.join('[^\\n]*')}\\1,`).test(read(file))
}

docs('acceptance.md has every row, and every test that it names exists', () => {
  assert.equal([...acceptanceRows().keys()], ROWS)
  const pages = ['docs/acceptance.md', 'docs/operations/failures.md', 'docs/operations/security.md']
    .map(read)
    .join('\n')
  for (const { file, name } of testsNamedIn(pages)) {
    assert.ok(existsSync(file), `${file} does not exist`)
    assert.ok(isTitleIn(file, name), `${file} has no test “${name}”`)
  }
})

docs('acceptance.md says so where no test proves a row yet', () => {
  const lines = read('docs/acceptance.md').split('\n')
  for (const [number, tests] of acceptanceRows()) {
    const line = lines.find((each) => each.startsWith(`| ${number} |`))
    assert.ok(tests.length > 0 || line?.includes('no test yet'), `row ${number}`)
  }
})

docs('bad-input.md names reasons that reasons.md explains, and for each row a test that exists', () => {
  const known = rowsOf(read('docs/operations/reasons.md'))
  const rows = read('docs/operations/bad-input.md')
    .split('\n')
    .filter((line) => /^\| (?!What is wrong)/.test(line))
    .map((line) => line.split(' | '))
  assert.ok(rows.length > 40, 'the rows are found')
  for (const cells of rows) {
    assert.is(cells.length, 5, cells[0])
    const [, , reason = '', , test = ''] = cells
    if (reason !== '—') assert.ok(known.includes(/^`(\w+)`$/.exec(reason)?.[1] ?? ''), `${cells[0]}: ${reason}`)
    const named = testsNamedIn(test)
    assert.ok(named.length > 0, `${cells[0]} names a test`)
    for (const { file, name } of named) {
      assert.ok(existsSync(file), `${file} does not exist`)
      assert.ok(isTitleIn(file, name), `${file} has no test “${name}”`)
    }
  }
})

docs('real-inputs.md and locations.md name in each row the files of its tests, and tests as they are called', () => {
  const untrue = ['docs/operations/real-inputs.md', 'docs/operations/locations.md'].flatMap((page) => {
    const cells = testCells(read(page))
    assert.ok(cells.length > 15, `the rows of ${page} are found`)
    return cells.filter((cell) => !isTrueCell(cell)).map((cell) => `${page}: ${cell}`)
  })
  assert.equal(untrue, [])
})

/** The last cells of all tables whose last column is `Test`. */
function testCells(page: string): string[] {
  const tables = page.split('\n\n').map((part) => part.split('\n').filter((line) => line.startsWith('|')))
  const tested = tables.filter(([header = '']) => header.endsWith('| Test |'))
  return tested.flatMap(([, , ...rows]) => rows.map((row) => row.replace(/ \|$/, '').split(' | ').at(-1) ?? ''))
}

const TEST_FILE = /`(test\/[\w./-]+\.test\.ts)`(?:: “[^”]+”)?/g

/** Only files and their tests are allowed: “as above” would lose its meaning when a row moves. */
function isTrueCell(cell: string): boolean {
  const files = wordsOf(cell, TEST_FILE)
  const isAll = cell.replaceAll(TEST_FILE, '').replaceAll(/[;, ]/g, '') === ''
  const areTitles = testsNamedIn(cell).every(({ file, name }) => existsSync(file) && isTitleIn(file, name))
  return files.length > 0 && files.every(existsSync) && isAll && areTitles
}

docs('ARCHITECTURE.md names search terms that are found where it says', () => {
  const rows = [...read('ARCHITECTURE.md').matchAll(/^\| `([\w/<>-]+)\/` \|[^|]*\|([^|]*)\|$/gm)]
  assert.ok(rows.length > 15, 'the code map is found')
  const lost = rows.flatMap(([, folder = '', terms = '']) => {
    const text = textBelow(folder.replace(/<.*/, ''))
    return wordsOf(terms, /`([^`]+)`/g)
      .filter((term) => !text.includes(term))
      .map((term) => `${folder}: ${term}`)
  })
  assert.equal(lost, [])
})

function textBelow(folder: string): string {
  return ['.ts', '.yaml'].flatMap((ending) => filesBelow(folder, endsWith(ending)).map(read)).join('\n')
}

function markdownFiles(): string[] {
  const top = readdirSync('.').filter((name) => name.endsWith('.md'))
  const below = ['docs', 'functions', 'test', 'config', 'eventing', 'shared', 'cli', 'velero'].filter(existsSync)
  return [...top, ...below.flatMap((folder) => filesBelow(folder, endsWith('.md')))]
}

const withoutCode = (page: string) => page.replaceAll(/```[\s\S]*?```/g, '').replaceAll(/`[^`\n]*`/g, '')

docs('every relative link leads to a file, and to a heading in it', () => {
  const broken = markdownFiles().flatMap((file) => {
    const targets = wordsOf(withoutCode(read(file)), /\]\(([^)\s]+)\)/g).filter((to) => !/^[a-z]+:/.test(to))
    return targets.filter((to) => !leadsSomewhere(file, to)).map((to) => `${file}: ${to}`)
  })
  assert.equal(broken, [])
})

function leadsSomewhere(from: string, to: string): boolean {
  const [path = '', anchor] = to.split('#')
  const file = path === '' ? from : normalize(join(dirname(from), path))
  if (!existsSync(file)) return false
  return anchor === undefined || (file.endsWith('.md') && anchorsOf(read(file)).includes(anchor))
}

docs.run()
