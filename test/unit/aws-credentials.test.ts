import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { TerminalError } from '#shared/kernel/errors.ts'
import {
  type AwsCredentials,
  chooseCredentials,
  chooseProfile,
  profileNames,
  type StoreCredentials,
} from '#shared/repository/stores/s3/aws-credentials.ts'

const test = suite('AWS credentials file')

const KEYS = 'aws_access_key_id = AKID\naws_secret_access_key = s3cr3t/+='
const PAIR: AwsCredentials = { accessKeyId: 'AKID', secretAccessKey: 's3cr3t/+=' }

const read: [string, string, string, AwsCredentials][] = [
  ['the plain form', `[default]\n${KEYS}\n`, 'default', PAIR],
  [
    'no blanks and Windows lines',
    '[default]\r\naws_access_key_id=AKID\r\naws_secret_access_key=s3cr3t/+=\r\n',
    'default',
    PAIR,
  ],
  ['a byte order mark', `\uFEFF[default]\n${KEYS}`, 'default', PAIR],
  ['another profile than the first', `[default]\naws_access_key_id=other\n[backups]\n${KEYS}`, 'backups', PAIR],
  ['a header of a config file', `[profile backups]\n${KEYS}`, 'backups', PAIR],
  ['a quoted name', `[profile "my backups"]\n${KEYS}`, 'my backups', PAIR],
  ['comments', `# one\n; two\n[default] # three\n${KEYS} ; four\n`, 'default', PAIR],
  ['indented lines, as YAML leaves them', `[default]\n  ${KEYS.replace('\n', '\n  ')}\n`, 'default', PAIR],
  ['quoted values', '[default]\naws_access_key_id="AKID"\naws_secret_access_key=\'s3cr3t/+=\'', 'default', PAIR],
  ['upper case keys', '[default]\nAWS_ACCESS_KEY_ID=AKID\nAWS_SECRET_ACCESS_KEY=s3cr3t/+=', 'default', PAIR],
  [
    '# and ; inside of a value',
    '[default]\naws_access_key_id=AKID\naws_secret_access_key=a#b;c=d',
    'default',
    { ...PAIR, secretAccessKey: 'a#b;c=d' },
  ],
  [
    'a nested block',
    `[default]\n${KEYS}\ns3 =\n  max_concurrent_requests = 20\n  aws_access_key_id = not-this\n`,
    'default',
    PAIR,
  ],
  [
    'a profile in two parts',
    '[default]\naws_access_key_id=AKID\n[x]\n[default]\naws_secret_access_key=s3cr3t/+=',
    'default',
    PAIR,
  ],
  ['a session token', `[default]\n${KEYS}\naws_session_token = tok`, 'default', { ...PAIR, sessionToken: 'tok' }],
  ['key: value', '[default]\naws_access_key_id: AKID\naws_secret_access_key: s3cr3t/+=\n', 'default', PAIR],
  ['a stray line', `[default]\nstray\n${KEYS}\nthe end\n`, 'default', PAIR],
  ['an indented stray line', `[default]\n${KEYS}\n  stray\n`, 'default', PAIR],
  ['a property before any profile', `aws_access_key_id = other\n[default]\n${KEYS}\n`, 'default', PAIR],
  ['a profile that is not closed', `[other]\n[default]\n${KEYS}\n[third\n`, 'default', PAIR],
  ['the last of two values', `[default]\naws_access_key_id = old\n${KEYS}\n`, 'default', PAIR],
  ['a plain profile before one of a config file', `[x]\n${KEYS}\n[profile x]\naws_access_key_id=other`, 'x', PAIR],
  ['a comment right behind a header', `[default]# words\n${KEYS}`, 'default', PAIR],
  ['a profile without a type in its name', `[my team]\n${KEYS}`, 'my team', PAIR],
  [
    'the older name of the token',
    `[default]\n${KEYS}\naws_security_token = tok`,
    'default',
    { ...PAIR, sessionToken: 'tok' },
  ],
]

for (const [what, text, profile, wanted] of read) {
  test(`${what} is read`, () => {
    assert.equal(chooseCredentials(text, profile, 'here'), wanted)
  })
}

const refused: [string, string, string][] = [
  ['a profile that is not there', `[other]\n${KEYS}\n[third]`, 'no profile [default], only [other], [third]'],
  ['a missing key', '[default]\naws_access_key_id = AKID', 'no aws_secret_access_key'],
  ['an empty key', '[default]\naws_access_key_id =\naws_secret_access_key = s3cr3t/+=', 'no aws_access_key_id'],
  [
    'half of a pair beside a role',
    `[default]\naws_access_key_id = AKID\nrole_arn = arn:aws:iam::1:role/x`,
    'no aws_secret',
  ],
  ['a role alone', '[default]\nrole_arn = arn:aws:iam::1:role/x', 'role_arn needs source_profile or web_identity'],
  ['a source that is not there', '[default]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = y', 'no profile [y]'],
  ['a source without a role', `[default]\nsource_profile = y\n[y]\n${KEYS}`, 'no role_arn'],
  [
    'a circle',
    '[default]\nrole_arn=arn:a\nsource_profile=y\n[y]\nrole_arn=arn:b\nsource_profile=default',
    'leads to itself',
  ],
  ['a role that is none', `[default]\n${KEYS}\nrole_arn = a role of mine`, 'a role_arn that is none'],
  ['a token without a role', '[default]\nweb_identity_token_file = /s3cr3t', 'no role_arn'],
  [
    'two ways',
    `[default]\nrole_arn=arn:a\nsource_profile=default\nweb_identity_token_file=/s3cr3t`,
    'keep one of them',
  ],
  [
    'a program',
    `[default]\n${KEYS}\ncredential_process = /bin/s3cr3t`,
    'credential_process of profile [default] is not followed',
  ],
  [
    'a program of the source',
    `[default]\nrole_arn=arn:a\nsource_profile=y\n[y]\ncredential_process=/x`,
    'of profile [y]',
  ],
  [
    "the pod's identity",
    '[default]\nrole_arn = arn:a\ncredential_source = Ec2InstanceMetadata',
    "the pod's own identity",
  ],
  ['a login', '[default]\nsso_start_url = https://s3cr3t', 'sso_start_url needs a person'],
  ['the code of a device', `[default]\n${KEYS}\nrole_arn = arn:a\nmfa_serial = s3cr3t`, 'mfa_serial'],
  ['a line without =', '[default]\ns3cr3t/+ ', 'line 2 is neither'],
  ['text before any profile', 'W2RlZmF1bHRdCg==', 'base64 once too often'],
  ['nothing at all', '\n \n', 'it is empty'],
]

for (const [what, text, words] of refused) {
  test(`${what} is refused, and the error quotes no value`, () => {
    assert.throws(
      () => chooseCredentials(text, 'default', 'Secret velero/cloud-credentials'),
      (error: TerminalError) => {
        assert.instance(error, TerminalError)
        assert.is(error.reason, 'CredentialsInvalid')
        assert.match(error.message, words)
        assert.match(error.message, 'Secret velero/cloud-credentials')
        return !/s3cr3t|AKID|arn:/.test(error.message)
      },
    )
  })
}

const ROLE = 'arn:aws:iam::123456789012:role/backups'
const roles: [string, string, StoreCredentials][] = [
  [
    'keys of another profile',
    `[default]\nrole_arn=${ROLE}\nsource_profile=y\n[y]\n${KEYS}`,
    { roleArn: ROLE, source: PAIR },
  ],
  ['the keys beside it', `[default]\nrole_arn=${ROLE}\n${KEYS}`, { roleArn: ROLE, source: PAIR }],
  [
    'its own keys by name',
    `[default]\nrole_arn=${ROLE}\nsource_profile=default\n${KEYS}`,
    { roleArn: ROLE, source: PAIR },
  ],
  [
    'a web identity',
    `[default]\nrole_arn=${ROLE}\nweb_identity_token_file=/t\nrole_session_name=me`,
    { roleArn: ROLE, sessionName: 'me', source: { webIdentityTokenFile: '/t' } },
  ],
  [
    'keys before a web identity',
    `[default]\nweb_identity_token_file=/t\nrole_arn=${ROLE}\n${KEYS}`,
    { roleArn: ROLE, source: PAIR },
  ],
  [
    'another role',
    `[default]\nrole_arn=${ROLE}\nsource_profile=y\nexternal_id=e\nduration_seconds=3600\n[y]\nrole_arn=arn:b\nweb_identity_token_file=/t`,
    {
      roleArn: ROLE,
      externalId: 'e',
      durationSeconds: 3600,
      source: { roleArn: 'arn:b', source: { webIdentityTokenFile: '/t' } },
    },
  ],
]

for (const [what, text, wanted] of roles) {
  test(`a role is taken with ${what}`, () => {
    assert.equal(chooseCredentials(text, 'default', 'here'), wanted)
  })
}

test('an odd line of a file is reported by its number, never by its text', () => {
  const text = `s3cr3t\n[default]\nAKID\naws_access_key_id: AKID\naws_secret_access_key = s3cr3t\n\tAKID\n`
  const { notes } = chooseProfile(text, 'default', 'here')
  assert.equal(
    notes.map((note) => /^line \d+ (?:is|stands)/.exec(note)?.[0]),
    ['line 1 is', 'line 3 is', 'line 4 is', 'line 6 is'],
  )
  assert.not(notes.some((note) => /AKID|s3cr3t/.test(note)))
  assert.equal(chooseProfile(`[default]\n${KEYS}\ns3 =\n  a = b\n`, 'default', 'here').notes, [])
  assert.is(chooseProfile(`[default]\n${KEYS}\n${'odd\n'.repeat(1000)}`, 'default', 'here').notes.length, 10)
})

test('profiles are listed in the order of the file', () => {
  assert.equal(profileNames(`[b]\n${KEYS}\n[profile a]\n[b]`, 'here'), ['b', 'a'])
})

test('a chain of source_profile has at most ten profiles', () => {
  const chain = (length: number) =>
    Array.from({ length }, (_, n) =>
      n + 1 === length ? `[p${n}]\n${KEYS}` : `[p${n}]\nrole_arn=arn:aws:iam::1:role/x\nsource_profile=p${n + 1}`,
    ).join('\n')
  assert.ok('source' in chooseCredentials(chain(10), 'p0', 'here'))
  for (const length of [11, 30_000]) {
    assert.throws(
      () => chooseCredentials(chain(length), 'p0', 'here'),
      (error: Error) =>
        error instanceof TerminalError &&
        error.reason === 'CredentialsInvalid' &&
        /profile \[p0\] leads through more than 10 by source_profile/.test(error.message),
    )
  }
})

test.run()
