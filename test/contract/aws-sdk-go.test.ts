// Gives the same inputs to aws-sdk-go-v2, as Velero's plugin uses it, and to Dormouse: credentials files, checksums, regions, prefixes.
// Each difference is listed here with its reason, and in docs/operations/locations.md.

import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseS3Parameters } from '#shared/repository/stores/s3/parameters.ts'
import { toS3Settings } from '#shared/repository/stores/s3/secrets.ts'
import { createS3Store } from '#shared/repository/stores/s3/store.ts'
import { bucketSettings } from '#test/support/stores.ts'
import { findTools } from '../environment/process/tools.ts'
import { type Sts, startSts } from '../standins/sts/server.ts'
import { FILES, PREFIXES, REGIONS } from './aws-sdk-go-lists.ts'
import { type ProxyServer, startProxy } from './store-s3-support.ts'

const test = suite("Go's AWS SDK and Dormouse")
type Keys = { accessKeyId: string; secretAccessKey: string; sessionToken: string }
type Answer = {
  credentials: (Keys & { region: string; error: string })[]
  puts: { error: string }[]
  prefixes: string[]
}

let program: string
let bucket: ProxyServer
let sts: Sts
let folder: string
let tokenFile: string

test.before(async () => {
  program = (await findTools(['aws-sdk'], console.error)).get('aws-sdk')!
  folder = await mkdtemp(path.join(os.tmpdir(), 'dormouse-aws-sdk-'))
  tokenFile = path.join(folder, 'token')
  await writeFile(tokenFile, 'web.identity')
  bucket = await startProxy(undefined, ({ method }) => ({
    status: method === 'DELETE' ? 204 : 200,
    headers: { etag: '"e"' },
  }))
  sts = await startSts({
    region: 'us-east-1',
    keys: { AKID: { secret: 's3cr3t/+=' } },
    roles: Object.fromEntries(
      ['one', 'two'].map((name) => [
        `arn:aws:iam::123456789012:role/${name}`,
        { takenBy: ['AKID', 'web.identity', 'ASIATEMP1'] },
      ]),
    ),
  })
})
test.after(async () => {
  await bucket.stop()
  await sts.stop()
  await rm(folder, { recursive: true, force: true })
})

async function ask(question: object): Promise<Answer> {
  // Keeps the machine's own AWS settings out of the test.
  const env = { PATH: process.env['PATH'], HOME: folder, AWS_ENDPOINT_URL_STS: sts.url, AWS_REGION: 'us-east-1' }
  const child = spawn(program, [], { env, stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end(JSON.stringify(question))
  const chunks: Buffer[] = []
  for await (const chunk of child.stdout) chunks.push(chunk as Buffer)
  return JSON.parse(Buffer.concat(chunks).toString())
}

/** What the request to the store contains, and what STS was asked for; undefined: no request was made. */
type Outcome = { by: string; token: string; calls: string[] } | undefined
const callsSince = (from: number) => sts.calls.slice(from).map(({ action, role, by }) => `${action} ${role} ${by}`)

async function throughGo(text: string, profile: string): Promise<Outcome> {
  sts.calls.length = 0
  const [found] = (await ask({ credentials: [{ text, profile }] })).credentials
  if (found === undefined || found.error !== '') return undefined
  return { by: `${found.accessKeyId} ${found.secretAccessKey}`, token: found.sessionToken, calls: callsSince(0) }
}

async function throughDormouse(text: string, profile: string): Promise<Outcome> {
  sts.calls.length = 0
  const seen = bucket.requests.length
  try {
    const settings = parseS3Parameters({
      bucket: 'bucket',
      s3Url: bucket.url,
      s3ForcePathStyle: 'true',
      profile,
    })
    const s3 = toS3Settings(settings, new Map([['credentialSecretName', Buffer.from(text)]]))
    const { credentials } = s3
    await createS3Store(s3, { retry: { attempts: 1 } }).delete('x')
    const { headers } = bucket.requests[seen]!
    const by = /Credential=([^/]+)\//.exec(headers.authorization ?? '')?.[1] ?? ''
    const secret =
      credentials !== undefined && 'secretAccessKey' in credentials ? credentials.secretAccessKey : secretOf(by)
    return { by: `${by} ${secret}`, token: String(headers['x-amz-security-token'] ?? ''), calls: callsSince(0) }
  } catch (error) {
    if (REFUSALS.includes((error as { reason?: string }).reason ?? '')) return undefined
    throw error
  }
}
const REFUSALS = ['CredentialsInvalid', 'S3RoleRefused']
const secretOf = (id: string) => sts.knows.keys[id]?.secret

for (const { what, text, profile = 'default', differs } of FILES) {
  test(`credentials: ${what}${differs === undefined ? '' : ` (differs: ${differs.why})`}`, async () => {
    const filled = text.replaceAll('TOKENFILE', tokenFile)
    const saved = { ...process.env }
    Object.assign(process.env, { AWS_ENDPOINT_URL_STS: sts.url, AWS_WEB_IDENTITY_TOKEN_FILE: tokenFile })
    try {
      const [go, own] = [await throughGo(filled, profile), await throughDormouse(filled, profile)]
      if (differs === undefined) return assert.equal(own, go)
      assert.is(go?.by, differs.go)
      assert.is(own?.by, differs.dormouse)
    } finally {
      process.env = saved
    }
  })
}

const HEADERS = /^x-amz-(checksum-|trailer|sdk-checksum)/
const checksums = (from: number) =>
  bucket.requests
    .slice(from)
    .map(({ headers }) => Object.fromEntries(Object.entries(headers).filter(([name]) => HEADERS.test(name))))
const ALGORITHMS = [
  undefined,
  '',
  'CRC32',
  'CRC32C',
  'SHA1',
  'SHA256',
  'CRC64NVME',
  'SHA512',
  'MD5',
  'XXHASH64',
  'XXHASH3',
  'XXHASH128',
  'crc32',
  'none',
]

for (const algorithm of ALGORITHMS) {
  test(`checksumAlgorithm ${algorithm === undefined ? 'left out' : JSON.stringify(algorithm)}: the same headers`, async () => {
    const put = {
      region: 'us-east-1',
      url: bucket.url,
      bucket: 'bucket',
      key: 'k',
      forcePathStyle: true,
      body: 'dormouse',
    }
    let from = bucket.requests.length
    const [go] = (await ask({ puts: [{ ...put, checksumAlgorithm: algorithm ?? null }] })).puts
    const ofGo = checksums(from)
    from = bucket.requests.length
    const parameters = algorithm === undefined ? {} : { checksumAlgorithm: algorithm }
    const own = await writeWith(parameters)
    assert.is(own === '', go?.error === '', `${own} ${go?.error}`)
    const named = ({ 'x-amz-sdk-checksum-algorithm': _told, ...rest }: Record<string, unknown>) => rest
    assert.equal(checksums(from).map(named), ofGo.map(named))
  })
}

/** '' or the reason of the refusal. */
async function writeWith(parameters: Record<string, string>): Promise<string> {
  try {
    const { checksumAlgorithm } = parseS3Parameters({ bucket: 'bucket', ...parameters })
    const credentials = { accessKeyId: 'id', secretAccessKey: 'secret' }
    const store = createS3Store(
      { ...bucketSettings, url: bucket.url, credentials, checksumAlgorithm },
      { retry: { attempts: 1 } },
    )
    await store.putIfAbsent('k', Buffer.from('dormouse'))
    return ''
  } catch (error) {
    return (error as { reason?: string }).reason ?? String(error)
  }
}

for (const { region, differs } of REGIONS) {
  test(`region ${JSON.stringify(region)}: ${differs ?? 'both take it, or neither'}`, async () => {
    const put = {
      region,
      url: bucket.url,
      bucket: 'bucket',
      key: 'k',
      forcePathStyle: true,
      checksumAlgorithm: null,
      body: '',
    }
    const [go] = (await ask({ puts: [put] })).puts
    let own = ''
    try {
      parseS3Parameters({ bucket: 'bucket', s3Url: bucket.url, region })
    } catch (error) {
      own = (error as Error).message
    }
    assert.is((own === '') === (go?.error === ''), differs === undefined, `Go: ${go?.error}, Dormouse: ${own}`)
  })
}

test('prefixes lead to the folder where Velero lets plugins write', async () => {
  const { prefixes } = await ask({ prefixes: PREFIXES })
  for (const [index, prefix] of PREFIXES.entries()) {
    const own = parseS3Parameters({ bucket: 'bucket', prefix }).prefix
    assert.is(own === '' ? 'plugins/' : `${own}/plugins/`, prefixes[index], JSON.stringify(prefix))
  }
})

test.run()
