// A reader in another language, written from docs/format alone: it restores what our engine has written, and refuses what was changed since.

import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type MadeRepository, makeFormatRepository } from '#test/support/format-repository.ts'

const READER = resolve('test/format-reader')
const FROZEN = 'test/fixtures/format/v1'
const DAMAGES = 1000
const SEED = 1

type Outcome = { refused: Record<string, number>; harmless: Record<string, number>; wrong: string[] }

const test = suite('format reader')
let folder: string
let python: string
let made: MadeRepository
/** Its keys are new each time: what went wrong can be looked at only where it went wrong. */
let keeps = false

test.before(async () => {
  python = execFileSync(join(READER, 'build.sh'), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim()
  folder = mkdtempSync(join(tmpdir(), 'dormouse-format-reader-'))
  made = await makeFormatRepository(folder)
})
test.after(() => {
  if (!keeps) rmSync(folder, { recursive: true, force: true })
})

function read(...words: string[]): { status: number | null; out: string; err: string } {
  const env = { ...process.env, PYTHONPATH: READER, PYTHONDONTWRITEBYTECODE: '1' }
  const { status, stdout, stderr } = spawnSync(python, words, { env, encoding: 'utf8', maxBuffer: 64 * 2 ** 20 })
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

/** Reasons that users can look up. */
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
