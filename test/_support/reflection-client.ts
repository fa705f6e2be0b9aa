import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import {
  type ClientDuplexStream,
  type GrpcObject,
  loadPackageDefinition,
  type ServiceClientConstructor,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import type { LibraryClient } from './library-client.ts'

export type ReflectionAnswer = {
  readonly listServicesResponse?: { readonly service: readonly { readonly name: string }[] }
  readonly fileDescriptorResponse?: { readonly fileDescriptorProto: readonly Buffer[] }
  readonly errorResponse?: { readonly errorCode: number; readonly errorMessage: string }
}

const protos = join(dirname(createRequire(import.meta.url).resolve('@grpc/reflection')), '../proto')

/** Asks a server what it serves, as grpcurl does: each question in turn on one stream. */
export async function reflect(
  client: LibraryClient,
  version: 'v1' | 'v1alpha',
  questions: readonly object[],
): Promise<ReflectionAnswer[]> {
  const definition = loadSync(join(protos, `grpc/reflection/${version}/reflection.proto`))
  const loaded = loadPackageDefinition(definition) as unknown as { grpc: { reflection: Record<string, GrpcObject> } }
  const reflection = loaded.grpc.reflection[version]?.ServerReflection as ServiceClientConstructor | undefined
  const method = reflection?.service.ServerReflectionInfo
  if (!method) throw new Error('no such method')
  const stream: ClientDuplexStream<object, ReflectionAnswer> = client.library.makeBidiStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
  )
  for (const question of questions) stream.write(question)
  stream.end()
  const answers: ReflectionAnswer[] = []
  for await (const answer of stream as AsyncIterable<ReflectionAnswer>) answers.push(answer)
  return answers
}
