// STAND-IN for AWS STS, strict about what its API reference says of AssumeRole and AssumeRoleWithWebIdentity: the form of the request, who
// signs which call, the patterns of the parameters. It knows some keys, roles and web identities, and gives keys that it makes up.

import { createHash, createHmac } from 'node:crypto'
import http from 'node:http'
import https from 'node:https'
import type net from 'node:net'

type StsKnows = {
  region: string
  /** Secret keys by access key's id, with the session token where there is one. */
  keys: Record<string, { secret: string; token?: string }>
  /** By ARN: who may take it, an access key's id or a web identity; the external id that it wants. */
  roles: Record<string, { takenBy: string[]; externalId?: string }>
}
type StsCall = { action: string; role: string; by: string; sessionName: string; durationSeconds: string | null }
export type Sts = {
  url: string
  /** What it has given a role for. */
  calls: StsCall[]
  /** Every request, also what was refused. */
  requests: number
  knows: StsKnows
  lifeSeconds: number
  /** In place of keys that it makes up; without a session token, as versitygw refuses each that has one. */
  gives: { id: string; secret: string } | undefined
  /** The next answers; undefined: its own. */
  trouble: { status: number; code: string } | undefined
  stop(): Promise<void>
}

class Refusal extends Error {
  readonly code: string
  readonly status: number
  constructor(code: string, message: string, status = 400) {
    super(message)
    this.code = code
    this.status = status
  }
}

export async function startSts(knows: StsKnows, tls?: { cert: string; key: string }): Promise<Sts> {
  const sts: Sts = {
    url: '',
    calls: [],
    requests: 0,
    knows,
    lifeSeconds: 3600,
    gives: undefined,
    trouble: undefined,
    stop: async () => {},
  }
  const serve = async (request: http.IncomingMessage, response: http.ServerResponse) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    sts.requests++
    const { status, body } = answer(sts, request, Buffer.concat(chunks).toString())
    response.writeHead(status, { 'content-type': 'text/xml' })
    response.end(body)
  }
  const listener = (request: http.IncomingMessage, response: http.ServerResponse) => void serve(request, response)
  const server = tls === undefined ? http.createServer(listener) : https.createServer(tls, listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  sts.url = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
  sts.stop = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  return sts
}

function answer(sts: Sts, request: http.IncomingMessage, body: string): { status: number; body: string } {
  try {
    if (sts.trouble !== undefined) throw new Refusal(sts.trouble.code, 'as the test wants it', sts.trouble.status)
    const call = allowed(sts, request, body)
    sts.calls.push(call)
    return { status: 200, body: granted(sts, call) }
  } catch (error) {
    const { code, status, message } =
      error instanceof Refusal ? error : new Refusal('InternalFailure', String(error), 500)
    const type = status >= 500 ? 'Receiver' : 'Sender'
    const inner = `<Error><Type>${type}</Type><Code>${code}</Code><Message>${message}</Message></Error><RequestId>r</RequestId>`
    return { status, body: `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">${inner}</ErrorResponse>` }
  }
}

function allowed({ knows }: Sts, request: http.IncomingMessage, body: string): StsCall {
  if (request.method !== 'POST' || request.url !== '/') throw new Refusal('InvalidAction', 'POST / is wanted', 404)
  if (request.headers['content-type'] !== 'application/x-www-form-urlencoded')
    throw new Refusal('InvalidAction', 'no form')
  const form = new URLSearchParams(body)
  if (form.get('Version') !== '2011-06-15') throw new Refusal('NoSuchVersion', 'the version is wrong')
  const action = form.get('Action') ?? ''
  const isSigned = request.headers.authorization !== undefined
  if (!['AssumeRole', 'AssumeRoleWithWebIdentity'].includes(action))
    throw new Refusal('InvalidAction', `no action ${action}`)
  if (isSigned !== (action === 'AssumeRole')) throw new Refusal('MissingAuthenticationToken', 'signed or not', 403)
  const role = wanted(form, 'RoleArn', /^arn:[\x21-\x7e]{16,2044}$/)
  const sessionName = wanted(form, 'RoleSessionName', /^[\w+=,.@-]{2,64}$/)
  const by = isSigned ? signerOf(knows, request, body) : wanted(form, 'WebIdentityToken', /^[\x21-\x7e]{4,20000}$/)
  const known = knows.roles[role]
  if (known === undefined || !known.takenBy.includes(by))
    throw new Refusal('AccessDenied', 'not authorized to take it', 403)
  if (known.externalId !== undefined && known.externalId !== form.get('ExternalId'))
    throw new Refusal('AccessDenied', 'no such id', 403)
  return { action, role, by, sessionName, durationSeconds: form.get('DurationSeconds') }
}

function wanted(form: URLSearchParams, name: string, pattern: RegExp): string {
  const values = form.getAll(name)
  if (values.length === 1 && pattern.test(values[0] ?? '')) return values[0] ?? ''
  throw new Refusal('ValidationError', `${name} does not satisfy its constraint`)
}

/** AWS Signature Version 4 of the whole request, as the reference gives it. */
function signerOf({ keys, region }: StsKnows, request: http.IncomingMessage, body: string): string {
  const header =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/sts\/aws4_request, SignedHeaders=([^,]+), Signature=(\w{64})$/.exec(
      request.headers.authorization ?? '',
    )
  const [, id = '', day = '', signedRegion = '', signedHeaders = '', signature = ''] = header ?? []
  const known = keys[id]
  if (known === undefined) throw new Refusal('InvalidClientTokenId', 'the key is unknown', 403)
  if (signedRegion !== region) throw new Refusal('SignatureDoesNotMatch', `signed for ${signedRegion}`, 403)
  if ((request.headers['x-amz-security-token'] ?? undefined) !== known.token)
    throw new Refusal('InvalidClientTokenId', 'the token', 403)
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
  const lines = signedHeaders.split(';').map((name) => `${name}:${String(request.headers[name] ?? '').trim()}\n`)
  const canonical = ['POST', '/', '', lines.join(''), signedHeaders, sha256(body)].join('\n')
  const scope = `${day}/${region}/sts/aws4_request`
  const toSign = ['AWS4-HMAC-SHA256', request.headers['x-amz-date'], scope, sha256(canonical)].join('\n')
  const key = [day, region, 'sts', 'aws4_request'].reduce<string | Buffer>(
    (secret, part) => createHmac('sha256', secret).update(part).digest(),
    `AWS4${known.secret}`,
  )
  if (createHmac('sha256', key).update(toSign).digest('hex') === signature) return id
  throw new Refusal('SignatureDoesNotMatch', 'the signature is wrong', 403)
}

/** The keys are good here, too: a role may take the next one. */
function granted(sts: Sts, { action, role }: StsCall): string {
  const number = sts.calls.length
  const { id, secret } = sts.gives ?? { id: `ASIATEMP${number}`, secret: `secret-${number}` }
  const token = sts.gives === undefined ? `token-${number}` : undefined
  sts.knows.keys[id] = { secret, ...(token === undefined ? {} : { token }) }
  const ends = new Date(Date.now() + sts.lifeSeconds * 1000).toISOString()
  const told = token === undefined ? {} : { SessionToken: token }
  const fields = { AccessKeyId: id, SecretAccessKey: secret, ...told, Expiration: ends }
  const credentials = Object.entries(fields).map(([name, value]) => `<${name}>${value}</${name}>`)
  const user = `<AssumedRoleUser><AssumedRoleId>i:s</AssumedRoleId><Arn>${role.replace(':iam:', ':sts:')}/s</Arn></AssumedRoleUser>`
  const result = `<${action}Result><Credentials>${credentials.join('')}</Credentials>${user}</${action}Result>`
  return `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">${result}</${action}Response>`
}
