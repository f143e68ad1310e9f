// A reader in another language, written from docs/format alone: it restores what Dormouse's engine has written, and refuses changed bytes.

import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { KeySlot } from '#shared/repository/format/slot-fields.ts'
import { planTrials } from '#shared/repository/format/slot-trials.ts'
import { Random } from '#test/simulation/random.ts'
import { exampleChunk, formatExample } from '#test/support/format-example.ts'
import { exampleText, secondExample } from '#test/support/format-example-second.ts'
import { type MadeRepository, makeFormatRepository } from '#test/support/format-repository.ts'

const READER = resolve('test/format-reader')
const FROZEN = 'test/fixtures/format/v1'
const DAMAGES = 1000
const SEED = 1

type Outcome = { refused: Record<string, number>; harmless: Record<string, number>; wrong: string[] }

/** Gives the reader cases of key slots; it writes the ids of those that it would try. */
const ORDER = `
import json, sys
from format_reader.slots import in_order, parse_slot
def slot(s):
    fields = {"format": "dormouse-repository-key", "version": 1, "wrapped": "", "algorithm": "", "kind": s["kind"], "scrypt": {**s["costs"], "salt": ""}}
    return parse_slot(s["id"], s["modifiedMs"], json.dumps(fields).encode())
print(json.dumps([[s.slot_id for s in in_order([slot(s) for s in c["slots"]], c["privateKey"])] for c in json.load(sys.stdin)]))
`

const test = suite('format reader')
let folder: string
let python: string
let made: MadeRepository
/** Its keys are new each time, so a failure can be examined only in the run that failed. */
let keeps = false

test.before(async () => {
  python = execFileSync(join(READER, 'build.sh'), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim()
  folder = mkdtempSync(join(tmpdir(), 'dormouse-format-reader-'))
  made = await makeFormatRepository(folder)
})
test.after(() => {
  if (!keeps) rmSync(folder, { recursive: true, force: true })
})

type Said = { status: number | null; out: string; err: string }

const read = (...words: string[]): Said => readWith('', ...words)

function readWith(input: string, ...words: string[]): Said {
  const env = { ...process.env, PYTHONPATH: READER, PYTHONDONTWRITEBYTECODE: '1' }
  const { status, stdout, stderr } = spawnSync(python, words, { env, input, encoding: 'utf8', maxBuffer: 64 * 2 ** 20 })
  return { status, out: stdout, err: stderr }
}

const ask = (command: string, repository: string, ...words: string[]) =>
  read('-m', 'format_reader', command, '--repository', repository, ...words)

/** The SHA-256 of what the reader has restored. */
function restored(repository: string, backup: string, ...secret: string[]): string {
  const out = join(folder, 'restored')
  const { status, err } = ask('restore', repository, ...secret, '--backup', backup, '--out', out)
  assert.is(status, 0, err)
  const digest = createHash('sha256').update(readFileSync(out)).digest('hex')
  rmSync(out)
  return digest
}

function asFolder(file: string): void {
  rmSync(file)
  mkdirSync(file)
}

/** Reasons that the documents explain. */
function documentedReasons(): Set<string> {
  const pages = ['docs/operations/reasons.md', ...readdirSync('docs/format').map((name) => `docs/format/${name}`)]
  const text = pages.map((page) => readFileSync(page, 'utf8')).join('\n')
  return new Set(Array.from(text.matchAll(/`([A-Z]\w+)`/g), ([, reason = '']) => reason))
}

test('a reader made from the documents alone restores every backup, by password and by each kind of recovery key', () => {
  const secrets = [
    ['--password-file', made.secrets.password],
    ['--recovery-key', made.secrets.passphrase],
    ['--recovery-key', made.secrets.rsa],
    ['--recovery-key', made.secrets.x25519],
  ]
  for (const { name, sha256 } of made.backups) {
    for (const secret of secrets) assert.is(restored(made.folder, name, ...secret), sha256, `${name}, ${secret}`)
  }
})

test('it restores what was written when the format was frozen', () => {
  const frozen = JSON.parse(readFileSync(join(FROZEN, 'expected.json'), 'utf8'))
  for (const { root, sha256 } of frozen.backups) {
    const digest = restored(
      join(FROZEN, 'repository'),
      root.replace('roots/', ''),
      '--password-file',
      made.secrets.password,
    )
    assert.is(digest, sha256)
  }
})

test('it restores both backups of the worked example, from the bytes that the documents show', () => {
  const { repository, facts } = secondExample()
  const example = join(folder, 'example')
  for (const [name, bytes] of repository) {
    mkdirSync(dirname(join(example, name)), { recursive: true })
    writeFileSync(join(example, name), bytes)
  }
  const zeros = Buffer.alloc(262_144)
  const secret = ['--password-file', made.secrets.password]
  for (const [session, second] of [
    [formatExample().session, zeros],
    [facts['session']!, exampleText()],
  ] as const) {
    const want = createHash('sha256')
      .update(Buffer.concat([zeros, second, exampleChunk(), zeros]))
      .digest('hex')
    assert.is(restored(example, session, ...secret), want)
  }
  const verified = ask('verify', example, ...secret)
  assert.is(verified.status, 0, verified.err)
})

test('it lists the backups that stand, and every object of the repository has the form that is documented', () => {
  const listed = ask('list', made.folder, '--password-file', made.secrets.password)
  const names = listed.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).backup)
  assert.equal(names, made.backups.map(({ name }) => name).sort(), listed.err)
  for (const repository of [made.folder, join(FROZEN, 'repository')]) {
    const verified = ask('verify', repository, '--password-file', made.secrets.password)
    assert.is(verified.status, 0, verified.err)
    assert.match(verified.out, /^\d+ objects are what was written\n$/)
  }
})

test('a backup that was deleted, a wrong secret and a folder without a repository are refused in one line', () => {
  const out = join(folder, 'nothing')
  const password = ['--password-file', made.secrets.password]
  const refusals: [RegExp, ReturnType<typeof ask>][] = [
    [/^RootMissing: /, ask('restore', made.folder, ...password, '--backup', made.forgotten, '--out', out)],
    [/^SessionInvalid: /, ask('restore', made.folder, ...password, '--backup', '../config', '--out', out)],
    [/^RepositoryKeyWrong: /, ask('list', made.folder, '--password-file', join(READER, 'requirements.txt'))],
    [/^RepositoryMissing: /, ask('list', folder, ...password)],
    [/^UsageInvalid: /, ask('list', made.folder)],
  ]
  for (const [reason, { status, out: said, err }] of refusals) {
    assert.match(err, reason)
    assert.equal([status, said, err.split('\n').length], [1, '', 2], err)
  }
  assert.not.ok(existsSync(out))
})

test('what is too large, nested too deep or no file is refused in one line, before it is read', () => {
  const root = `roots/${made.backups[0]!.name}`
  const spoilt: [RegExp, (at: (name: string) => string) => void][] = [
    [/^RepositoryConfigCorrupt: config has 16385 bytes/, (at) => truncateSync(at('config'), 16_385)],
    [/^RepositoryConfigCorrupt: config is no JSON/, (at) => writeFileSync(at('config'), '['.repeat(16_000))],
    [/^RepositoryConfigCorrupt: /, (at) => writeFileSync(at('config'), `{"version":${'9'.repeat(9000)}}`)],
    [/^RepositoryMissing: /, (at) => asFolder(at('config'))],
    [/^RootCorrupt: .* has 1099511627776 bytes/, (at) => truncateSync(at(root), 2 ** 40)],
    [/^RootMissing: /, (at) => asFolder(at(root))],
    [/^RepositoryKeyWrong: /, (at) => rmSync(at('keys'), { recursive: true })],
    [/^(Chunk|Page)Missing: /, (at) => rmSync(at('packs'), { recursive: true })],
  ]
  for (const [number, [reason, spoil]] of spoilt.entries()) {
    const copy = join(folder, `spoilt-${number}`)
    cpSync(made.folder, copy, { recursive: true })
    spoil((name) => join(copy, name))
    const words = [
      '--password-file',
      made.secrets.password,
      '--backup',
      made.backups[0]!.name,
      '--out',
      join(folder, 'none'),
    ]
    const { status, out, err } = ask('restore', copy, ...words)
    assert.match(err, reason)
    assert.equal([status, out, err.split('\n').length], [1, '', 2], err)
    rmSync(copy, { recursive: true })
  }
  assert.equal(
    readdirSync(folder).filter((name) => name.includes('none')),
    [],
    'nothing is left of what was begun',
  )
})

test('it tries key slots in the order of the engine, and leaves out the same ones', () => {
  const dice = new Random(SEED)
  const pick = <T>(...of: T[]): T => of[dice.below(of.length)]!
  const cases = Array.from({ length: 200 }, () => ({
    privateKey: pick(true, false),
    slots: Array.from({ length: pick(3, 20, 64) }, (_, n) => ({
      id: String(n),
      kind: pick('password', 'password', 'recovery-passphrase', 'recovery-public-key'),
      modifiedMs: pick(1, 2, 3, 4, 5, 6),
      costs: { N: pick(2 ** 15, 2 ** 15, 2 ** 10, 2 ** 16, 2 ** 17, 3, 1), r: 8, p: pick(1, 3, 3, 4, 8, 16) },
    })),
  }))
  const { status, out, err } = readWith(JSON.stringify(cases), '-c', ORDER)
  assert.is(status, 0, err)
  const engines = cases.map(({ privateKey, slots }) => {
    const found = slots.map(({ id, kind, modifiedMs, costs }) => {
      const scrypt = { ...costs, salt: '' }
      return { slotId: id, modifiedMs, slot: { kind, scrypt, wrapped: '' } as KeySlot }
    })
    return planTrials(found, privateKey ? '-----BEGIN PRIVATE KEY-----' : 'a password').map(({ slotId }) => slotId)
  })
  assert.equal(JSON.parse(out), engines)
  assert.ok(engines.some((tried, n) => tried.length < cases[n]!.slots.length))
})

test(`of ${DAMAGES} bytes that were changed it restores none wrongly, and names the reason for each that matters`, () => {
  const { password, passphrase, rsa, x25519 } = made.secrets
  const words = [password, passphrase, rsa, x25519].flatMap((file) => ['--secret-file', file])
  const backups = made.backups.flatMap(({ name, sha256 }) => ['--backup', name, sha256])
  const numbers = ['--seed', String(SEED), '--count', String(DAMAGES)]
  const { status, out, err } = read(
    join(READER, 'damages.py'),
    '--repository',
    made.folder,
    ...words,
    ...backups,
    ...numbers,
  )
  assert.is(status, 0, err)
  const { refused, harmless, wrong }: Outcome = JSON.parse(out)
  console.log(`  refused ${JSON.stringify(refused)}, harmless ${JSON.stringify(harmless)}`)
  keeps = wrong.length > 0
  assert.equal(wrong, [], `the repository is kept in ${folder}`)
  const reasons = documentedReasons()
  assert.equal(
    Object.keys(refused).filter((reason) => !reasons.has(reason)),
    [],
  )
  const counts = [...Object.values(refused), ...Object.values(harmless)]
  assert.is(
    counts.reduce((sum, count) => sum + count, 0),
    DAMAGES,
  )
  assert.ok(Object.keys(refused).length >= 6, 'damages reach every kind of object')
})

test.run()
