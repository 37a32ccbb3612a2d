// A Nest application as teams have them, without the syntax of decorators, which Node.js does not read.
import 'reflect-metadata'
import { Controller, Injectable, Module } from '@nestjs/common'
import type { DynamicModule, INestApplicationContext, Type } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import {
  ClientProxyFactory,
  Ctx,
  EventPattern,
  MessagePattern,
  Payload,
  Transport,
} from '@nestjs/microservices'
import type { ClientProxy } from '@nestjs/microservices'
import { onTestFinished } from 'vitest'
import type { OncemqRmqOptions } from '../src/rabbitmq/index.ts'
import { OncemqRmqServer } from '../src/rabbitmq/index.ts'

/** Decorates a method, and its parameters from the first on. */
export function decorate(
  target: Type,
  name: string,
  decorators: readonly MethodDecorator[],
  parameters: readonly ParameterDecorator[] = [],
): void {
  for (const [index, parameter] of parameters.entries()) parameter(target.prototype as object, name, index)
  const descriptor = Object.getOwnPropertyDescriptor(target.prototype, name) as PropertyDescriptor
  for (const decorator of decorators.toReversed())
    decorator(target.prototype as object, name, descriptor as never)
  Object.defineProperty(target.prototype, name, descriptor)
}

export type Handle = (data: unknown, context: unknown) => unknown

/** A controller with one handler of events `order.paid`, and one of requests `price`. */
export function controllerOf(handlers: { readonly onPaid?: Handle; readonly price?: Handle }): Type {
  class Orders {
    onPaid(data: unknown, context: unknown): unknown {
      return handlers.onPaid?.(data, context)
    }

    price(data: unknown, context: unknown): unknown {
      return handlers.price?.(data, context)
    }
  }
  const parameters = [Payload() as ParameterDecorator, Ctx() as ParameterDecorator]
  decorate(Orders, 'onPaid', [EventPattern('order.paid') as MethodDecorator], parameters)
  decorate(Orders, 'price', [MessagePattern('price') as MethodDecorator], parameters)
  Controller()(Orders)
  return Orders
}

export function moduleOf(imports: DynamicModule[], controllers: Type[], providers: Type[] = []): Type {
  class AppModule {}
  for (const provider of providers) Injectable()(provider)
  Module({ imports, controllers, providers })(AppModule)
  return AppModule
}

export async function microservice<Tx>(module: Type, options: OncemqRmqOptions<Tx>) {
  const app = await NestFactory.createMicroservice(module, {
    strategy: new OncemqRmqServer(options),
    abortOnError: false,
    logger: false,
  })
  onTestFinished(() => app.close())
  await app.listen()
  return app
}

export async function application(module: Type): Promise<INestApplicationContext> {
  const app = await NestFactory.createApplicationContext(module, { logger: false, abortOnError: false })
  onTestFinished(() => app.close())
  return app
}

/** Nest's own client, as the services that send have it. */
export async function client(url: string, queue: string, options: object = {}): Promise<ClientProxy> {
  const proxy = ClientProxyFactory.create({
    transport: Transport.RMQ,
    options: { urls: [url], queue, queueOptions: { durable: true }, ...options },
  })
  onTestFinished(() => proxy.close() as void)
  await proxy.connect()
  return proxy
}
