# SPDX-License-Identifier: Apache-2.0
"""Streams: records in, messages out; one worker per connection, gaps found, losses counted. They know no protocol."""
