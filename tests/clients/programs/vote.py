"""Votes once for cats, by TLS and without, with the stock client; prints how many votes there are."""

import os

import redis

host, password = os.environ["REDIS"], os.environ["REDIS_PWD"]
with redis.Redis(host=host, password=password) as plain:
    plain.incr("cats")
with redis.Redis(host=host, port=6380, ssl=True, ssl_ca_certs=os.environ["SSL_CERT_FILE"], password=password) as safe:
    print(safe.incr("cats"))
