// No text from outside blocks the event loop: regular expressions do linear work, and the length of a value is checked first.

import { spawnSync } from 'node:child_process'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MAX_CA_CHARS, MAX_VALUE_CHARS, trimSlashes } from '#shared/domain/repository-parameter-values.ts'
import type { DormouseError } from '#shared/kernel/errors.ts'
import { parseS3Parameters } from '#shared/repository/stores/s3/parameters.ts'
import { patternsIn } from '#test/support/patterns.ts'

const test = suite('bounded work')

/** Linear work takes a second or two; quadratic work of one value or one expression takes minutes. */
const LIMIT_MS = 50_000

function assertEnds(file: string): void {
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], { timeout: LIMIT_MS, encoding: 'utf8' })
  const last = stdout.trimEnd().split('\n').at(-1) ?? ''
  assert.is(status, 0, `it stopped at ${last} ${stderr.slice(-2000)}`)
  assert.ok(Number(/^tried (\d+)$/.exec(last)?.[1]) > 90, last)
}

test('every parameter of a repository takes very long values of every kind with linear work, and quotes none of them', () => {
  assertEnds('test/support/long-values.ts')
})

test('every regular expression of the product does linear work, or never sees a long text', () => {
  assertEnds('test/support/long-patterns.ts')
})

test('the search for regular expressions finds them', () => {
  const found = patternsIn(['shared/domain', 'shared/repository/stores']).map(({ source }) => source)
  for (const known of ['^arn:[\\x21-\\x7e]{1,2000}$', '\\s+', '\\r\\n|\\r|\\n']) assert.ok(found.includes(known), known)
})

test('a value has a length before anything looks at it, and the longest real ones fit', () => {
  const parse = (parameters: Record<string, string>) => parseS3Parameters({ bucket: 'backups', ...parameters })
  const tooLong = (key: string) => (error: DormouseError) =>
    error.reason === 'RepositoryParametersInvalid' && error.message.startsWith(`repository parameter ${key}: it has`)
  for (const key of ['s3Url', 'prefix', 'profile', 'kmsKeyId', 'tagging', 'region', 'backupStorageLocation'])
    assert.throws(() => parse({ [key]: 'a'.repeat(MAX_VALUE_CHARS + 1) }), tooLong(key))
  const marker = '-----BEGIN CERTIFICATE-----\n'
  assert.throws(() => parse({ caCert: marker.padEnd(MAX_CA_CHARS + 1, 'x') }), tooLong('caCert'))
  assert.throws(
    () => parse({ ['k'.repeat(300)]: 'x' }),
    (error: DormouseError) => /a name of 300 characters/.test(error.message),
  )
  const many = Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`k${index}`, 'x']))
  assert.throws(
    () => parse(many),
    (error: DormouseError) => error.reason === 'RepositoryParametersInvalid',
  )
  // Node's list of public authorities is about 200 KiB.
  assert.is(parse({ caCert: marker.padEnd(MAX_CA_CHARS, 'x') }).caCert?.length, MAX_CA_CHARS)
  const tags = Array.from({ length: 10 }, (_, index) => `${'k'.repeat(127)}${index}=${'v'.repeat(256)}`).join('&')
  assert.is(parse({ tagging: tags }).tagging, tags)
})

test('slashes at both ends are taken away, those inside stay', () => {
  const cases: [string, string][] = [
    ['', ''],
    ['/', ''],
    ['///', ''],
    ['/a/', 'a'],
    ['a', 'a'],
    ['//a//b//', 'a//b'],
  ]
  for (const [given, wanted] of cases) assert.is(trimSlashes(given), wanted)
})

test.run()
