// The S3 store with a role instead of keys: assumed at STS (a stand-in that follows AWS's reference strictly) with keys of the Secret, or with
// the web identity of the pod. Also what a Secret must not make a function do.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { chooseCredentials } from '#shared/repository/stores/s3/aws-credentials.ts'
import type { S3Settings } from '#shared/repository/stores/s3/settings.ts'
import { createS3Store } from '#shared/repository/stores/s3/store.ts'
import { bucketSettings } from '#test/support/stores.ts'
import { Authority } from '../environment/kubernetes/certificates.ts'
import { type Sts, startSts } from '../standins/sts/server.ts'
import { rejects } from './cluster-rejects.ts'
import { type ProxyServer, startProxy } from './store-s3-support.ts'

const test = suite('S3 store: roles')
const ROLE = 'arn:aws:iam::123456789012:role/backups'
const SECOND = 'arn:aws:iam::123456789012:role/second'
const KEYS = 'aws_access_key_id = AKIDSOURCE\naws_secret_access_key = source-secret'
const VARIABLES = ['AWS_ENDPOINT_URL_STS', 'AWS_WEB_IDENTITY_TOKEN_FILE', 'AWS_ROLE_ARN', 'AWS_ROLE_SESSION_NAME']
const OWN_KEYS = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']

let sts: Sts
let bucket: ProxyServer
let folder: string
let tokenFile: string

test.before.each(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'dormouse-roles-'))
  tokenFile = path.join(folder, 'token')
  await writeFile(tokenFile, 'first.web.identity\n')
  sts = await startSts({
    region: 'eu-west-1',
    keys: { AKIDSOURCE: { secret: 'source-secret' } },
    roles: { [ROLE]: { takenBy: ['AKIDSOURCE', 'first.web.identity', 'second.web.identity'] } },
  })
  process.env['AWS_ENDPOINT_URL_STS'] = sts.url
  bucket = await startProxy(undefined, () => ({ status: 200, headers: { etag: '"e"' }, body: 'config' }))
})
test.after.each(async () => {
  for (const name of [...VARIABLES, ...OWN_KEYS]) delete process.env[name]
  await sts.stop()
  await bucket.stop()
  await rm(folder, { recursive: true, force: true })
})

const storeOf = (text: string | undefined, change: Partial<S3Settings> = {}) => {
  const credentials = text === undefined ? undefined : chooseCredentials(text, 'default', 'Secret cloud-credentials')
  const credentialOrigin = 'Secret cloud-credentials'
  const settings = { ...bucketSettings, region: 'eu-west-1', url: bucket.url, credentials, credentialOrigin, ...change }
  return createS3Store(settings, { retry: { attempts: 1 } })
}
/** The access key of each request to the bucket. */
const askedBy = () =>
  bucket.requests.map(({ headers }) => [
    /Credential=([^/]+)\//.exec(headers.authorization ?? '')?.[1],
    headers['x-amz-security-token'],
  ])
const asRole = [['ASIATEMP1', 'token-1']]

test("a role is taken with another profile's keys, and the bucket is asked with what it gives", async () => {
  sts.knows.roles[ROLE]!.externalId = 'ours'
  const text = `[default]\nrole_arn = ${ROLE}\nsource_profile = source\nexternal_id = ours\nrole_session_name = me\nduration_seconds = 7200\n[source]\n${KEYS}\n`
  const store = storeOf(text)
  await store.get('config')
  await store.get('config')
  const call = { action: 'AssumeRole', role: ROLE, by: 'AKIDSOURCE', sessionName: 'me', durationSeconds: '7200' }
  assert.equal(sts.calls, [call])
  assert.equal(askedBy(), [...asRole, ...asRole])
})

test('a role is taken with the keys beside it, as aws-sdk-go-v2 takes it', async () => {
  await storeOf(`[default]\nrole_arn = ${ROLE}\n${KEYS}\n`).get('config')
  assert.equal(askedBy(), asRole)
})

test('a role is taken with the web identity of the pod, and with the new one when that has changed', async () => {
  process.env['AWS_WEB_IDENTITY_TOKEN_FILE'] = tokenFile
  sts.lifeSeconds = 60
  const store = storeOf(`[default]\nrole_arn = ${ROLE}\nweb_identity_token_file = ${tokenFile}\n`)
  await store.get('config')
  await writeFile(tokenFile, 'second.web.identity')
  await store.get('config')
  // A session that is about to end is replaced at each use.
  const identities = [...new Set(sts.calls.map(({ action, by }) => `${action} ${by}`))]
  const wanted = ['first.web.identity', 'second.web.identity'].map((by) => `AssumeRoleWithWebIdentity ${by}`)
  assert.equal(identities, wanted)
  const [first, second] = askedBy()
  assert.not.equal(first, second)
})

test('a role is taken with a role that a web identity gave', async () => {
  process.env['AWS_WEB_IDENTITY_TOKEN_FILE'] = tokenFile
  sts.knows.roles[SECOND] = { takenBy: ['ASIATEMP1'] }
  const text = `[default]\nrole_arn=${SECOND}\nsource_profile=first\n[first]\nrole_arn=${ROLE}\nweb_identity_token_file=${tokenFile}\n`
  await storeOf(text).get('config')
  assert.equal(
    sts.calls.map(({ role, by }) => [role, by]),
    [
      [ROLE, 'first.web.identity'],
      [SECOND, 'ASIATEMP1'],
    ],
  )
  assert.equal(askedBy(), [['ASIATEMP2', 'token-2']])
})

test("without a Secret the pod's own role is taken (IRSA), and keys in its environment come first", async () => {
  Object.assign(process.env, { AWS_WEB_IDENTITY_TOKEN_FILE: tokenFile, AWS_ROLE_ARN: ROLE })
  await storeOf(undefined).get('config')
  assert.equal(askedBy(), asRole)
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'AKIDPOD', AWS_SECRET_ACCESS_KEY: 'pod-secret' })
  await storeOf(undefined).get('config')
  assert.equal(askedBy(), [...asRole, ['AKIDPOD', undefined]])
})

test("a Secret never makes a function read and send a file that the pod's environment does not name for AWS", async () => {
  for (const given of [undefined, tokenFile]) {
    if (given !== undefined) process.env['AWS_WEB_IDENTITY_TOKEN_FILE'] = given
    for (const file of ['/var/run/secrets/kubernetes.io/serviceaccount/token', '/etc/passwd', `${folder}/./token`]) {
      const store = storeOf(`[default]\nrole_arn = ${ROLE}\nweb_identity_token_file = ${file}\n`)
      const error = await rejects(store.get('config'), TerminalError, 'CredentialsInvalid')
      assert.match(error.message, 'AWS_WEB_IDENTITY_TOKEN_FILE')
      assert.not.match(error.message, file)
    }
  }
  assert.is(sts.requests, 0)
  assert.equal(bucket.requests, [])
})

test('neither an address nor a program of the file is followed', async () => {
  const endpoint = `endpoint_url = http://127.0.0.1:1\nservices = mine`
  await storeOf(`[default]\nrole_arn = ${ROLE}\n${endpoint}\n${KEYS}\n[services mine]\nsts =\n  ${endpoint}\n`).get(
    'config',
  )
  assert.equal(askedBy(), asRole)
  const text = `[default]\ncredential_process = touch ${folder}/run\n${KEYS}\n`
  assert.throws(
    () => storeOf(text),
    (error: unknown) => error instanceof TerminalError && error.reason === 'CredentialsInvalid',
  )
})

test('an error of STS is reported with a reason, without keys and tokens', async () => {
  process.env['AWS_WEB_IDENTITY_TOKEN_FILE'] = tokenFile
  const text = `[default]\nrole_arn = ${ROLE}\nweb_identity_token_file = ${tokenFile}\n`
  const kinds: [typeof TerminalError | typeof RetryableError, string, Sts['trouble']][] = [
    [TerminalError, 'S3RoleRefused', { status: 403, code: 'AccessDenied' }],
    [TerminalError, 'S3RoleRefused', { status: 400, code: 'InvalidIdentityToken' }],
    [RetryableError, 'S3CredentialsExpired', { status: 400, code: 'ExpiredTokenException' }],
    [RetryableError, 'S3Unavailable', { status: 400, code: 'IDPCommunicationError' }],
    [RetryableError, 'S3Unavailable', { status: 503, code: 'ServiceUnavailable' }],
  ]
  for (const [kind, reason, trouble] of kinds) {
    sts.trouble = trouble
    const error = await rejects(storeOf(text).get('config'), kind, reason)
    assert.match(error.message, 'STS')
    assert.not.match(error.message, /web\.identity|secret|123456789012/)
  }
  await sts.stop()
  await rejects(storeOf(text).get('config'), RetryableError, 'S3Unavailable')
  await rm(tokenFile)
  await rejects(storeOf(text).get('config'), TerminalError, 'S3CredentialsMissing')
  assert.equal(bucket.requests, [])
})

test("an unverified store's location sends nothing to an unverified STS", async () => {
  const { certPem: cert, keyPem: key } = new Authority().serverCertificate(['127.0.0.1'])
  const tls = await startSts(sts.knows, { cert, key })
  process.env['AWS_ENDPOINT_URL_STS'] = tls.url
  const text = `[default]\nrole_arn = ${ROLE}\n${KEYS}\n`
  await rejects(storeOf(text, { insecureSkipTlsVerify: true }).get('config'), RetryableError, 'S3Unavailable')
  assert.is(tls.requests, 0)
  await tls.stop()
})

test.run()
