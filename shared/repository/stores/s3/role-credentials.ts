// Credentials from a role: assumed at AWS's own STS by the SDK's role assumers, with keys of the Secret or with the web identity that the
// pod was given for AWS. A Secret chooses the role, but neither a file of the pod nor an address that anything is sent to.

import { readFile } from 'node:fs/promises'
import type { getDefaultRoleAssumer } from '@aws-sdk/nested-clients/sts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { excerptOf } from '#shared/kernel/excerpt.ts'
import { KiB } from '#shared/kernel/units.ts'
import type { AssumedRole, AwsCredentials } from './aws-credentials.ts'
import { codeOf, statusOf } from './errors.ts'

type StsOptions = Exclude<Parameters<typeof getDefaultRoleAssumer>[0], undefined>
export type RoleContext = {
  region: string
  requestHandler: NonNullable<StsOptions['requestHandler']>
  env: Readonly<Record<string, string | undefined>>
}
type Taken = AwsCredentials & { expiration?: Date }

const TOKEN_FILE = 'AWS_WEB_IDENTITY_TOKEN_FILE'
/** A projected ServiceAccount token has one to two KiB. */
const MOST_TOKEN_BYTES = 32 * KiB

/** The SDK asks again when the credentials are about to expire; then the token is read again, because Kubernetes replaces it. */
export function roleProvider(role: AssumedRole, context: RoleContext): () => Promise<Taken> {
  return async () => await take(role, context)
}

/** The variables that IRSA and similar mechanisms set in a pod. Keys in the environment take precedence, as in aws-sdk-go-v2. */
export function roleOfEnvironment(env: RoleContext['env']): AssumedRole | undefined {
  const { AWS_ROLE_ARN: roleArn, AWS_ROLE_SESSION_NAME: sessionName, [TOKEN_FILE]: webIdentityTokenFile } = env
  if (env['AWS_ACCESS_KEY_ID'] && env['AWS_SECRET_ACCESS_KEY']) return undefined
  if (!roleArn || !webIdentityTokenFile) return undefined
  return { roleArn, ...(sessionName ? { sessionName } : {}), source: { webIdentityTokenFile } }
}

async function take(role: AssumedRole, context: RoleContext): Promise<Taken> {
  // Few locations have a role: the others do not need STS's client.
  const sts = await import('@aws-sdk/nested-clients/sts')
  const { source } = role
  if ('webIdentityTokenFile' in source) {
    const WebIdentityToken = await readToken(source.webIdentityTokenFile, context.env)
    const assume = sts.getDefaultRoleAssumerWithWebIdentity(options(context))
    return await asked(() => assume({ ...wish(role), WebIdentityToken }))
  }
  const keys = 'roleArn' in source ? await take(source, context) : source
  const assume = sts.getDefaultRoleAssumer(options(context))
  return await asked(() => assume(keys, wish(role)))
}

function options({ region, requestHandler }: RoleContext): StsOptions {
  // Only the kernel retries. The type does not know the options that the assumer passes on to its client.
  const handedOn = { region, requestHandler, userAgentAppId: 'dormouse', maxAttempts: 1 }
  return handedOn
}

function wish({ roleArn, sessionName, externalId, durationSeconds }: AssumedRole) {
  return {
    RoleArn: roleArn,
    RoleSessionName: sessionName ?? 'dormouse',
    ...(externalId === undefined ? {} : { ExternalId: externalId }),
    ...(durationSeconds === undefined ? {} : { DurationSeconds: durationSeconds }),
  }
}

/** Reads only the file that the pod's own environment names for AWS: a Secret must not make a function read and send another file. */
async function readToken(file: string, env: RoleContext['env']): Promise<string> {
  if (env[TOKEN_FILE] !== file) {
    throw new TerminalError(
      'CredentialsInvalid',
      `web_identity_token_file names a file that the function's pod was not given for AWS: mount the token, and set ${TOKEN_FILE} to that path`,
    )
  }
  try {
    const token = await readFile(file)
    if (token.length > 0 && token.length <= MOST_TOKEN_BYTES) return token.toString('ascii').trim()
  } catch (cause) {
    throw unreadable(String((cause as { code?: unknown }).code), cause)
  }
  throw unreadable('it is empty or too long')
}

function unreadable(why: string, cause?: unknown): TerminalError {
  return new TerminalError('S3CredentialsMissing', `the web identity token (${TOKEN_FILE}) cannot be read: ${why}`, {
    cause,
  })
}

async function asked(ask: () => Promise<Taken>): Promise<Taken> {
  try {
    return await ask()
  } catch (thrown) {
    throw translated(thrown as Error)
  }
}

/** STS's own words are kept, shortened: they name the role, not a key. */
function translated(error: Error): Error {
  const status = statusOf(error)
  const words = `${excerptOf(error.message, 200)} (${excerptOf(codeOf(error), 80)})`
  if (status === undefined) return new RetryableError('S3Unavailable', `AWS STS cannot be reached: ${words}`)
  if (/^ExpiredToken/.test(error.name)) return new RetryableError('S3CredentialsExpired', `AWS STS: ${words}`)
  if (status >= 500 || status === 429 || /^(Throttl|IDPCommunication)/.test(error.name))
    return new RetryableError('S3Unavailable', `AWS STS cannot serve this now: ${words}`)
  return new TerminalError(
    'S3RoleRefused',
    `AWS STS does not give the role: ${words}: check the role, its trust and who takes it`,
  )
}
